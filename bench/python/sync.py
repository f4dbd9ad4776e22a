"""Locks, events and conditions between two processes, by multiprocessing's spawn context."""

import time

from duet import CONTEXT, answer


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


def create(_, side, number):
    if side == 0:
        return None
    begin = time.perf_counter()
    locks = [CONTEXT.Lock() for _ in range(number)]
    elapsed = time.perf_counter() - begin
    assert len(locks) == number
    return elapsed


JOBS = {"lock": count, "event": pass_events, "condition": take_turns, "create": create}


def check(shared, job, number):
    expected = 2 * number if job == "lock" else 0
    assert shared.number.value == expected, (job, shared.number.value)
    shared.number.value = 0


if __name__ == "__main__":
    both = Shared()
    answer(JOBS, both, both, check)
