import multiprocessing

mp = multiprocessing.get_context("spawn")


def take_part(everybody, changed, ready, closing):
    everybody.wait()  # nobody goes on before the third is there
    with changed:
        ready.value += 1
        changed.notify()
    closing.wait()


def main():
    everybody, changed, closing = mp.Barrier(3), mp.Condition(), mp.Event()
    ready = mp.RawValue("q", 0)
    args = (everybody, changed, ready, closing)
    processes = [mp.Process(target=take_part, args=args) for _ in range(3)]
    for p in processes:
        p.start()
    with changed:
        changed.wait_for(lambda: ready.value == 3)
    print("all three are ready")
    closing.set()
    for p in processes:
        p.join()
    print("all three have gone")


if __name__ == "__main__":
    main()
