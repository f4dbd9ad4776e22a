import multiprocessing
import os
import time

mp = multiprocessing.get_context("spawn")


def hold(lock, held):
    with lock:
        held.set()
        time.sleep(1000)


def main():
    lock, held = mp.Lock(), mp.Event()
    holder = mp.Process(target=hold, args=(lock, held), name="holder")
    holder.start()
    held.wait()
    holder.kill()
    holder.join()
    if not lock.acquire(timeout=1):
        print("the lock is lost: it belongs to nobody, and nobody gets it")

    with mp.Pool(2) as pool:
        try:
            pool.apply_async(os._exit, (3,)).get(timeout=1)
        except multiprocessing.TimeoutError:
            print("the task is lost: without a time limit, get would wait for ever")


if __name__ == "__main__":
    main()
