from mpservice.multiprocessing.server_process import (
    MemoryBlock,
    ServerProcess,
    managed_list,
    managed_memoryblock,
)


class Studio:
    def __init__(self):
        self.titles = []  # managed_list([]) would dead-lock here

    def paint(self, title):
        self.titles.append(title)
        canvas = MemoryBlock(100)
        canvas.buf[: len(title)] = title.encode()
        return managed_memoryblock(canvas)

    def catalogue(self):
        return managed_list(self.titles)


ServerProcess.register("Studio", Studio)


def main():
    with ServerProcess() as server:
        studio = server.Studio()
        picture = studio.paint("Sunrise")
        print(bytes(picture.buf[:7]).decode())
        catalogue = studio.catalogue()
        studio.paint("Noon")
        print(*catalogue)


if __name__ == "__main__":
    main()
