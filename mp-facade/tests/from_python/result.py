import multiprocessing

mp = multiprocessing.get_context("spawn")


def count_primes(results, start, stop):
    results.put(sum(all(n % d for d in range(2, n)) for n in range(start, stop)))


def main():
    results = mp.SimpleQueue()
    p = mp.Process(target=count_primes, args=(results, 2, 1000), name="primes")
    p.start()
    p.join()
    if p.exitcode != 0:
        raise RuntimeError(f"{p.name} failed, and its trace is somewhere on standard error")
    print(f"{p.name} found {results.get()}")


if __name__ == "__main__":
    main()
