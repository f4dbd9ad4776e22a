import logging
import multiprocessing
import sys
from logging.handlers import QueueHandler, QueueListener

mp = multiprocessing.get_context("spawn")


def bake(records, cake):
    logging.getLogger().addHandler(QueueHandler(records))
    logging.getLogger().setLevel(logging.INFO)
    logging.info("%s into the oven", cake)
    logging.debug("nobody sees this")


def main():
    format = "%(levelname)s [%(processName)s] %(message)s"
    logging.basicConfig(level=logging.INFO, format=format, stream=sys.stdout)
    logging.info("open")
    records = mp.Queue()
    listener = QueueListener(records, *logging.getLogger().handlers)
    listener.start()
    for cake in ["apple", "cheese"]:
        p = mp.Process(target=bake, args=(records, cake), name=f"baker of {cake}")
        p.start()
        p.join()
    listener.stop()
    logging.info("closed")


if __name__ == "__main__":
    main()
