import multiprocessing
from multiprocessing.shared_memory import ShareableList, SharedMemory

mp = multiprocessing.get_context("spawn")


def fill(name, row):
    block = SharedMemory(name=name)
    block.buf[:5] = b"hello"
    block.close()
    row[0] += 1
    row[2] = "done"
    row.shm.close()


def main():
    block = SharedMemory(create=True, size=4096)
    row = ShareableList([41, 0.5, "to do"])
    try:
        p = mp.Process(target=fill, args=(block.name, row))
        p.start()
        p.join()
        print(bytes(block.buf[:5]).decode())
        print(*row)
    finally:
        for memory in [block, row.shm]:
            memory.close()
            memory.unlink()


if __name__ == "__main__":
    main()
