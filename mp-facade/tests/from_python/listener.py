import multiprocessing
from multiprocessing.connection import Client, Listener

mp = multiprocessing.get_context("spawn")


def ask(address):
    with Client(address, authkey=b"secret") as server:
        server.send([1, 2, 3])
        server.send(f"thank you for the {server.recv()}")


def main():
    with Listener(authkey=b"secret") as listener:
        p = mp.Process(target=ask, args=(listener.address,))
        p.start()
        with listener.accept() as client:
            numbers = client.recv()
            print("sum of", numbers)
            client.send(sum(numbers))
            print(client.recv())
        p.join()


if __name__ == "__main__":
    main()
