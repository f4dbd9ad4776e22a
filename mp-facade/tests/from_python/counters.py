import multiprocessing

mp = multiprocessing.get_context("spawn")


def count(total, accounts, lock, latest):
    for n in range(1000):
        with total.get_lock():
            total.value += 1
        with accounts.get_lock():
            accounts[0] -= 1
            accounts[1] += 1
        with lock:
            latest[0] = latest[1] = n


def main():
    total, accounts = mp.Value("q", 0), mp.Array("q", [5000, 0])
    lock, latest = mp.Lock(), mp.RawArray("q", 2)
    args = (total, accounts, lock, latest)
    processes = [mp.Process(target=count, args=args) for _ in range(3)]
    for p in processes:
        p.start()
    for p in processes:
        p.join()
    print(total.value, accounts[:], latest[:])


if __name__ == "__main__":
    main()
