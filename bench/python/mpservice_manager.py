"""Calls of an object in a server process of mpservice.

Each line on standard input is `call` and how many of them; the answer is the microseconds that they took
this process. It has a core of its own, and so has the server.
"""

import os
import sys
import time

from mpservice.multiprocessing.server_process import ServerProcess


class Counter:
    def __init__(self, start):
        self.count = start

    def add(self, n):
        self.count += n
        return self.count


ServerProcess.register("Counter", Counter)


def call(counter, number):
    add = counter.add
    first = add(0)
    for i in range(first + 1, first + number + 1):
        count = add(1)
        assert count == i, count


def main():
    server = ServerProcess()
    server.start(os.sched_setaffinity, (0, {1}))  # its option `cpu` misses threads that it has already started
    with server:
        counter = server.Counter(0)
        os.sched_setaffinity(0, {0})
        for line in sys.stdin:
            job, number = line.split()
            assert job == "call", job
            begin = time.perf_counter()
            call(counter, int(number))
            print((time.perf_counter() - begin) * 1e6, flush=True)


if __name__ == "__main__":
    main()
