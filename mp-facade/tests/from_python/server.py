import multiprocessing
import threading
from multiprocessing.managers import BaseManager

mp = multiprocessing.get_context("spawn")


class Stock:
    def __init__(self, pieces):
        self.pieces = pieces
        self.lock = threading.Lock()

    def take(self, n):
        with self.lock:
            if n > self.pieces:
                raise ValueError(f"only {self.pieces} left")
            self.pieces -= n
            return self.pieces


class StockManager(BaseManager):
    pass


StockManager.register("Stock", Stock)


def sell(stock):
    for _ in range(10):
        stock.take(1)


def main():
    with StockManager(ctx=mp) as manager:
        stock = manager.Stock(100)
        sellers = [mp.Process(target=sell, args=(stock,)) for _ in range(3)]
        for p in sellers:
            p.start()
        for p in sellers:
            p.join()
        print("left:", stock.take(0))
        try:
            stock.take(71)
        except ValueError as error:
            print(error)


if __name__ == "__main__":
    main()
