"""What the log peers share: the records, the handler in the parent, the answering of requests."""

import logging
import sys
import threading

LOGGER = logging.getLogger("bench")


def log_all(count):
    for i in range(count):
        LOGGER.info("record number %d of a child", i)


class Counter(logging.Handler):
    """Formats each record and counts it, as our logger does."""

    def __init__(self, expected):
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
        self.expected = expected
        self.handled = 0
        self.last = ""
        self.complete = threading.Event()

    def emit(self, record):
        self.last = self.format(record)
        self.handled += 1
        if self.handled == self.expected:
            self.complete.set()

    def check(self, last_number):
        assert self.handled == self.expected, (self.handled, self.expected)
        assert self.last == f"INFO bench record number {last_number} of a child", self.last


def answer(measures):
    """Answers each line `measure number` on standard input with microseconds."""
    for line in sys.stdin:
        measure, number = line.split()
        print(measures[measure](int(number)), flush=True)
