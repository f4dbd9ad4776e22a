"""Log records of a child by mpservice, whose processes forward them on their own."""

import logging
import time

from mpservice.multiprocessing import Event, Process

import counting


def log_all(records, all_handled):
    counting.log_all(records)
    # Its parent stops reading at the child's result, which overtakes records that are still queued:
    # without this wait they are lost, or the child hangs in its exit.
    assert all_handled.wait(60)


def throughput(records):
    """Microseconds until all records of a child are handled, its start included."""
    begin = time.perf_counter()
    counter = counting.Counter(records)
    counting.LOGGER.handlers[:] = [counter]
    all_handled = Event()
    process = Process(target=log_all, args=(records, all_handled))
    process.start()
    assert counter.complete.wait(60)
    all_handled.set()
    process.join()
    elapsed = time.perf_counter() - begin
    counter.check(records - 1)
    return elapsed * 1e6


if __name__ == "__main__":
    counting.LOGGER.setLevel(logging.INFO)
    counting.LOGGER.propagate = False
    counting.answer({"throughput": throughput})
