"""What the peers of two processes share: a second process that lives as long as this one, and the answering of requests.

Each process has a core of its own. Each line on standard input is a job and how often to do it; the answer is the
microseconds that both took together, if the job itself has no other.
"""

import multiprocessing
import os
import sys
import time

CONTEXT = multiprocessing.get_context("spawn")


def answer(jobs, here, there, check=None):
    """Answers requests by `jobs[job](parts, side, number)` in both processes: this one has the parts `here` and is on side
    0, the second one has `there` and is on side 1. Seconds that the job returns there are taken for the answer. When both
    are done, `check(here, job, number)` may find fault.
    """
    connection, other_end = CONTEXT.Pipe()
    process = CONTEXT.Process(target=second, args=(jobs, there, other_end))
    process.start()
    other_end.close()
    os.sched_setaffinity(0, {0})
    for line in sys.stdin:
        job, number = line.split()
        number = int(number)
        begin = time.perf_counter()
        connection.send((job, number))
        jobs[job](here, 0, number)
        seconds = connection.recv()
        elapsed = time.perf_counter() - begin
        if check is not None:
            check(here, job, number)
        print((elapsed if seconds is None else seconds) * 1e6, flush=True)
    connection.close()
    process.join()


def second(jobs, parts, connection):
    os.sched_setaffinity(0, {1})
    while True:
        try:
            job, number = connection.recv()
        except EOFError:
            return
        connection.send(jobs[job](parts, 1, number))
