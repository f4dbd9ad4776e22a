"""Pipes between two processes, by multiprocessing's spawn context.

Each line on standard input is a job and how often to do it; the answer is the microseconds that it took
this process and a second one, which lives as long as this one. Each has a core of its own.
"""

import multiprocessing
import os
import sys
import time

CONTEXT = multiprocessing.get_context("spawn")
FIRST = 1 << 32
BLOCK_LEN = 1 << 20
STAMP_LEN = 8


class Ends:
    """What one side has: an end of a pipe for both ways, and one for large blocks one way."""

    def __init__(self, both_ways, one_way):
        self.both_ways = both_ways
        self.one_way = one_way


def ping_pong(ends, side, number):
    end = ends.both_ways
    for i in range(FIRST, FIRST + number):
        if side == 0:
            end.send(i)
            answer = end.recv()
            assert answer == i + 1, answer
        else:
            end.send(end.recv() + 1)


def pass_blocks(ends, side, number):
    end = ends.one_way
    if side == 0:
        block = bytearray(BLOCK_LEN)
        for i in range(number):
            block[:STAMP_LEN] = block[-STAMP_LEN:] = stamp(i)
            end.send_bytes(block)
        return
    for i in range(number):
        block = end.recv_bytes()
        assert len(block) == BLOCK_LEN, len(block)
        assert block[:STAMP_LEN] == block[-STAMP_LEN:] == stamp(i), i


def stamp(i):
    return i.to_bytes(STAMP_LEN, "little")


JOBS = {"ping_pong": ping_pong, "blocks": pass_blocks}


def second(ends, connection):
    os.sched_setaffinity(0, {1})
    while True:
        try:
            job, number = connection.recv()
        except EOFError:
            return
        JOBS[job](ends, 1, number)
        connection.send(None)


def together(ends, connection, job, number):
    begin = time.perf_counter()
    connection.send((job, number))
    JOBS[job](ends, 0, number)
    connection.recv()
    return time.perf_counter() - begin


def main():
    here, there = CONTEXT.Pipe()
    receiver, sender = CONTEXT.Pipe(duplex=False)
    connection, other_end = CONTEXT.Pipe()
    process = CONTEXT.Process(target=second, args=(Ends(there, receiver), other_end))
    process.start()
    for end in (there, receiver, other_end):
        end.close()
    ends = Ends(here, sender)
    os.sched_setaffinity(0, {0})
    for line in sys.stdin:
        job, number = line.split()
        print(together(ends, connection, job, int(number)) * 1e6, flush=True)
    connection.close()
    process.join()


if __name__ == "__main__":
    main()
