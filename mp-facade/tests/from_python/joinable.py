import multiprocessing

mp = multiprocessing.get_context("spawn")


def work(tasks, total):
    while True:
        n = tasks.get()
        with total.get_lock():
            total.value += n * n
        tasks.task_done()


def main():
    tasks, total = mp.JoinableQueue(), mp.Value("q", 0)
    for _ in range(2):
        mp.Process(target=work, args=(tasks, total), daemon=True).start()
    for n in range(1, 11):
        tasks.put(n)
    tasks.join()
    print("all done:", total.value)


if __name__ == "__main__":
    main()
