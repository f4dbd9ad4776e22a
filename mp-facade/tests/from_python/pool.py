import multiprocessing
import time

mp = multiprocessing.get_context("spawn")


def square(n):
    return n * n


def power(base, exponent):
    return base**exponent


def invert(n):
    return 1 / n


def main():
    with mp.Pool(2) as pool:
        print(pool.map(square, range(5)))
        print(pool.starmap(power, [(2, 3), (3, 2)]))
        print(list(pool.imap(square, range(1000), chunksize=50))[-1])

        later = pool.apply_async(power, (2, 10))
        print(later.get(timeout=60))

        try:
            pool.apply(invert, (0,))
        except ZeroDivisionError:
            print("0 has no inverse")

        try:
            pool.apply_async(time.sleep, (1000,)).get(timeout=0.1)
        except multiprocessing.TimeoutError:
            print("too slow")  # its worker sleeps on


if __name__ == "__main__":
    main()
