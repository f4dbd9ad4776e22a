"""Queues between two processes, by multiprocessing's spawn context.

The job `idle` is given the seconds to wait, and its answer is the processor time that the second process took meanwhile.
"""

import time

from duet import CONTEXT, answer

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


def idle(shared, side, seconds):
    if side == 0:
        time.sleep(seconds)
        shared.queue.put(7)
        return None
    before = time.process_time()
    item = shared.queue.get()
    assert item == 7, item
    return time.process_time() - before


JOBS = {"numbers": pass_numbers, "blocks": pass_blocks, "ping_pong": ping_pong, "idle": idle}


if __name__ == "__main__":
    both = Shared()
    answer(JOBS, both, both)
