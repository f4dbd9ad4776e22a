"""A pool of two processes, by multiprocessing's spawn context.

Each line on standard input is a job and how many calls of a function it takes; the answer is the microseconds
until all results are there. The pool lives as long as this process.
"""

import multiprocessing
import sys
import time


def successor(number):
    return number + 1


def map_in_chunks(pool, number):
    return pool.map(successor, range(number))


def map_one_by_one(pool, number):
    return pool.map(successor, range(number), chunksize=1)


def apply(pool, number):
    return [pool.apply(successor, (i,)) for i in range(number)]


JOBS = {"map": map_in_chunks, "map_chunk1": map_one_by_one, "apply": apply}


def main():
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for line in sys.stdin:
            job, number = line.split()
            number = int(number)
            begin = time.perf_counter()
            results = JOBS[job](pool, number)
            elapsed = time.perf_counter() - begin
            assert results == list(range(1, number + 1)), job
            print(elapsed * 1e6, flush=True)


if __name__ == "__main__":
    main()
