"""Objects in a server process, by multiprocessing's managers and its spawn context.

Each line on standard input is a job and how often to do it; the answer is the microseconds that it took
this process. It has a core of its own, and so has the server. For the job `idle`, it is how many seconds to wait,
and the answer is the processor time that the server took meanwhile.
"""

import multiprocessing
import multiprocessing.managers
import os
import sys
import time

CONTEXT = multiprocessing.get_context("spawn")
ITEMS = 100
BLOCK_LEN = 64 << 20
STAMP_LEN = 8


class Counter:
    def __init__(self, start):
        self.count = start

    def add(self, n):
        self.count += n
        return self.count

    def cpu_time(self):
        return time.process_time()


class Manager(multiprocessing.managers.SyncManager):
    pass


Manager.register("Counter", Counter)


class Shared:
    def __init__(self, manager):
        self.manager = manager
        self.counter = manager.Counter(0)
        self.list = manager.list(range(ITEMS))
        self.dict = manager.dict(enumerate(range(ITEMS)))
        # Not to be changed while one is under way, so each is one of two with their stamps written in advance.
        self.blocks = [stamp(i) + bytes(BLOCK_LEN - 2 * STAMP_LEN) + stamp(i) for i in range(2)]
        self.block_dict = manager.dict()
        self.connection, other_end = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=read_blocks, args=(self.block_dict, other_end))
        self.process.start()
        other_end.close()

    def end(self):
        self.connection.close()
        self.process.join()


def call(shared, number):
    add = shared.counter.add
    first = add(0)
    for i in range(first + 1, first + number + 1):
        count = add(1)
        assert count == i, count


def access_list(shared, number):
    access(shared.list, number)


def access_dict(shared, number):
    access(shared.dict, number)


def access(items, number):
    for i in range(number):
        items[i % ITEMS] = i
        item = items[i % ITEMS]
        assert item == i, item


def create(shared, number):
    for i in range(number):
        shared.manager.Counter(i)


def stamp(i):
    return i.to_bytes(STAMP_LEN, "little")


def pass_blocks(shared, number):
    for i in range(number):
        shared.block_dict["block"] = shared.blocks[i % 2]
        shared.connection.send(i)
        read = shared.connection.recv()
        assert read == i, read


def read_blocks(block_dict, connection):
    os.sched_setaffinity(0, {0})  # where the writer waits, so that it is not where the server works
    while True:
        try:
            i = connection.recv()
        except EOFError:
            return
        block = block_dict["block"]
        assert len(block) == BLOCK_LEN, len(block)
        assert block[:STAMP_LEN] == block[-STAMP_LEN:] == stamp(i % 2), i
        connection.send(i)


JOBS = {
    "call": call,
    "list": access_list,
    "dict": access_dict,
    "create": create,
    "block": pass_blocks,
}


def timed(shared, job, number):
    begin = time.perf_counter()
    JOBS[job](shared, number)
    return time.perf_counter() - begin


def idle(shared, seconds):
    before = shared.counter.cpu_time()
    time.sleep(seconds)
    return shared.counter.cpu_time() - before


def main():
    manager = Manager(ctx=CONTEXT)
    manager.start(os.sched_setaffinity, (0, {1}))
    with manager:
        shared = Shared(manager)
        os.sched_setaffinity(0, {0})
        for line in sys.stdin:
            job, number = line.split()
            number = int(number)
            elapsed = idle(shared, number) if job == "idle" else timed(shared, job, number)
            print(elapsed * 1e6, flush=True)
        shared.end()


if __name__ == "__main__":
    main()
