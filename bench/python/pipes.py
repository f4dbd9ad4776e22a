"""Pipes between two processes, by multiprocessing's spawn context."""

from duet import CONTEXT, answer

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


def main():
    here, there = CONTEXT.Pipe()
    receiver, sender = CONTEXT.Pipe(duplex=False)
    answer(JOBS, Ends(here, sender), Ends(there, receiver))


if __name__ == "__main__":
    main()
