"""One start of a process per request line, by multiprocessing's spawn context.

Each line on standard input names how the result comes back; the answer is the microseconds from
`start` until the result is there and the process is joined.
"""

import multiprocessing
import sys
import time


def send_down(writer):
    writer.send(7)


def put_into(queue):
    queue.put(7)


def by_pipe(context):
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=send_down, args=(writer,))
    process.start()
    value = reader.recv()
    process.join()
    return value


def by_queue(context):
    queue = context.Queue()
    process = context.Process(target=put_into, args=(queue,))
    process.start()
    value = queue.get()
    process.join()
    return value


def main():
    context = multiprocessing.get_context("spawn")
    ways = {"pipe": by_pipe, "queue": by_queue}
    for line in sys.stdin:
        way = ways[line.strip()]
        begin = time.perf_counter()
        value = way(context)
        elapsed = time.perf_counter() - begin
        assert value == 7, value
        print(elapsed * 1e6, flush=True)


if __name__ == "__main__":
    main()
