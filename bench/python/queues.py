"""Queues between two processes, by multiprocessing's spawn context.

Each line on standard input is a job and how often to do it; the answer is the microseconds that it took
this process and a second one, which lives as long as this one. Each has a core of its own. For the job `idle`,
it is how many seconds to wait, and the answer is the processor time that the second process took meanwhile.
"""

import multiprocessing
import os
import sys
import time

CONTEXT = multiprocessing.get_context("spawn")
BLOCK_LEN = 1 << 20
STAMP_LEN = 8


class Shared:
    def __init__(self):
        self.queue = CONTEXT.Queue()
        self.simple = [CONTEXT.SimpleQueue(), CONTEXT.SimpleQueue()]


def pass_numbers(shared, side, number):
    put, get = shared.queue.put, shared.queue.get
    if side == 0:
        for i in range(number):
            put(i)
        return
    total = 0
    for _ in range(number):
        total += get()
    assert total == number * (number - 1) // 2, total


def pass_blocks(shared, side, number):
    put, get = shared.queue.put, shared.queue.get
    if side == 0:
        # Not to be changed once it is put, so each is one of two with their stamps written in advance.
        blocks = [stamp(i) + bytes(BLOCK_LEN - 2 * STAMP_LEN) + stamp(i) for i in range(2)]
        for i in range(number):
            put(blocks[i % 2])
        return
    for i in range(number):
        block = get()
        assert len(block) == BLOCK_LEN, len(block)
        assert block[:STAMP_LEN] == block[-STAMP_LEN:] == stamp(i % 2), i


def stamp(i):
    return i.to_bytes(STAMP_LEN, "little")


def ping_pong(shared, side, number):
    there, back = shared.simple
    for i in range(number):
        if side == 0:
            there.put(i)
            answer = back.get()
            assert answer == i + 1, answer
        else:
            back.put(there.get() + 1)


JOBS = {"numbers": pass_numbers, "blocks": pass_blocks, "ping_pong": ping_pong}


def wait_idly(shared):
    before = time.process_time()
    item = shared.queue.get()
    assert item == 7, item
    return time.process_time() - before


def second(shared, connection):
    os.sched_setaffinity(0, {1})
    while True:
        try:
            job, number = connection.recv()
        except EOFError:
            return
        connection.send(wait_idly(shared) if job == "idle" else JOBS[job](shared, 1, number))


def together(shared, connection, job, number):
    begin = time.perf_counter()
    connection.send((job, number))
    JOBS[job](shared, 0, number)
    connection.recv()
    return time.perf_counter() - begin


def idle(shared, connection, seconds):
    connection.send(("idle", seconds))
    time.sleep(seconds)
    shared.queue.put(7)
    return connection.recv()


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
        if job == "idle":
            elapsed = idle(shared, connection, number)
        else:
            elapsed = together(shared, connection, job, number)
        print(elapsed * 1e6, flush=True)
    connection.close()
    process.join()


if __name__ == "__main__":
    main()
