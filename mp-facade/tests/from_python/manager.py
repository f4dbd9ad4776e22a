import multiprocessing

mp = multiprocessing.get_context("spawn")


def measure(word, lengths, words):
    lengths[word] = len(word)
    words.append(word)


def main():
    with mp.Manager() as manager:
        lengths, words = manager.dict(), manager.list()
        for word in ["one", "three", "eleven"]:
            p = mp.Process(target=measure, args=(word, lengths, words))
            p.start()
            p.join()
        for word in words:
            print(word, lengths[word])

        shelves = manager.dict(top=words)  # a proxy as an item of another
        shelves["top"].append("twelve")
        print(len(words), "words")


if __name__ == "__main__":
    main()
