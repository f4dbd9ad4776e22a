import multiprocessing

mp = multiprocessing.get_context("spawn")


def produce(lines, text):
    for line in text.splitlines():
        lines.put(line)


def consume(lines, counts):
    words = 0
    while (line := lines.get()) is not None:
        words += len(line.split())
    counts.put(words)


def main():
    lines, counts = mp.Queue(maxsize=10), mp.Queue()
    producer = mp.Process(target=produce, args=(lines, "to be or not to be\n" * 100))
    consumers = [mp.Process(target=consume, args=(lines, counts)) for _ in range(2)]
    for p in [producer, *consumers]:
        p.start()

    producer.join()
    for _ in consumers:
        lines.put(None)
    words = sum(counts.get() for _ in consumers)  # before join, which might wait for ever
    for p in consumers:
        p.join()
    print(words, "words")


if __name__ == "__main__":
    main()
