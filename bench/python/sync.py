"""Locks, events and conditions between two processes, by multiprocessing's spawn context.

Each line on standard input is a job and how often to do it; the answer is the microseconds that it took
this process and a second one, which lives as long as this one. Each has a core of its own.
"""

import multiprocessing
import os
import sys
import time

CONTEXT = multiprocessing.get_context("spawn")


class Shared:
    def __init__(self):
        self.lock = CONTEXT.Lock()
        self.events = [CONTEXT.Event(), CONTEXT.Event()]
        self.condition = CONTEXT.Condition()
        self.number = CONTEXT.RawValue("Q", 0)


def count(shared, side, number):
    lock, counter = shared.lock, shared.number
    for _ in range(number):
        with lock:
            counter.value += 1


def pass_events(shared, side, number):
    ping, pong = shared.events
    for _ in range(number):
        if side == 0:
            ping.set()
            pong.wait()
            pong.clear()
        else:
            ping.wait()
            ping.clear()
            pong.set()


def take_turns(shared, side, number):
    condition, turn = shared.condition, shared.number
    for _ in range(number):
        with condition:
            while turn.value != side:
                condition.wait()
            turn.value = 1 - side
            condition.notify()


JOBS = {"lock": count, "event": pass_events, "condition": take_turns}


def second(shared, connection):
    os.sched_setaffinity(0, {1})
    while True:
        try:
            job, number = connection.recv()
        except EOFError:
            return
        JOBS[job](shared, 1, number)
        connection.send(None)


def together(shared, connection, job, number):
    shared.number.value = 0
    begin = time.perf_counter()
    connection.send((job, number))
    JOBS[job](shared, 0, number)
    connection.recv()
    elapsed = time.perf_counter() - begin
    assert shared.number.value == (2 * number if job == "lock" else 0), shared.number.value
    return elapsed


def create(number):
    begin = time.perf_counter()
    locks = [CONTEXT.Lock() for _ in range(number)]
    elapsed = time.perf_counter() - begin
    assert len(locks) == number
    return elapsed


def main():
    shared = Shared()
    connection, other_end = CONTEXT.Pipe()
    process = CONTEXT.Process(target=second, args=(shared, other_end))
    process.start()
    other_end.close()
    os.sched_setaffinity(0, {0})
    for line in sys.stdin:
        job, number = line.split()
        number = int(number)
        elapsed = create(number) if job == "create" else together(shared, connection, job, number)
        print(elapsed * 1e6, flush=True)
    connection.close()
    process.join()


if __name__ == "__main__":
    main()
