from mpservice.multiprocessing import Process
from mpservice.multiprocessing.remote_exception import get_remote_traceback


class OutOfStock(Exception):
    def __init__(self, item, left):
        super().__init__(item, left)
        self.left = left


def order(item, wanted):
    left = {"tea": 10, "coffee": 2}[item]
    if wanted > left:
        raise OutOfStock(item, left)
    return left - wanted


def main():
    for item in ["tea", "coffee", "cocoa"]:
        p = Process(target=order, args=(item, 3), name=item)
        p.start()
        try:
            print(f"{item}: {p.result()} left")
        except OutOfStock as error:
            print(f"{item}: there are only {error.left}")
        except Exception as error:
            print(f"{item}: {error!r}")
            trace = get_remote_traceback(error).splitlines()
            print(*[line for line in trace if "errors.py" in line])  # others are the library's


if __name__ == "__main__":
    main()
