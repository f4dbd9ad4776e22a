"""Log records of a child by the standard library: QueueHandler, multiprocessing.Queue, QueueListener."""

import logging
import logging.handlers
import multiprocessing
import statistics
import time

import counting

CONTEXT = multiprocessing.get_context("spawn")
BURST = 100


def forward_to(queue):
    counting.LOGGER.setLevel(logging.INFO)
    counting.LOGGER.addHandler(logging.handlers.QueueHandler(queue))


def log_all(queue, records):
    forward_to(queue)
    counting.log_all(records)


def log_bursts(queue, bursts, writer):
    forward_to(queue)
    costs = []
    for _ in range(bursts):
        time.sleep(0.002)
        begin = time.perf_counter()
        counting.log_all(BURST)
        costs.append((time.perf_counter() - begin) / BURST)
    writer.send(statistics.median(costs))


def throughput(records):
    """Microseconds until all records of a child are handled, its start included."""
    begin = time.perf_counter()
    queue = CONTEXT.Queue()
    counter = counting.Counter(records)
    listener = logging.handlers.QueueListener(queue, counter)
    listener.start()
    process = CONTEXT.Process(target=log_all, args=(queue, records))
    process.start()
    process.join()
    listener.stop()
    elapsed = time.perf_counter() - begin
    counter.check(records - 1)
    return elapsed * 1e6


def child_cost(bursts):
    """Microseconds that one record costs the child that makes it."""
    queue = CONTEXT.Queue()
    counter = counting.Counter(bursts * BURST)
    listener = logging.handlers.QueueListener(queue, counter)
    listener.start()
    reader, writer = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=log_bursts, args=(queue, bursts, writer))
    process.start()
    cost = reader.recv()
    process.join()
    listener.stop()
    counter.check(BURST - 1)
    return cost * 1e6


if __name__ == "__main__":
    counting.answer({"throughput": throughput, "child_cost": child_cost})
