import multiprocessing

mp = multiprocessing.get_context("spawn")


def load(words):
    global known
    known = set(words.split())


def misspelt(line):
    return [word for word in line.split() if word not in known]


def main():
    words = "to be or not that is the question whether tis nobler"
    lines = ["to be or ont to be", "that is teh question", "wether tis nobler"]
    found = []
    with mp.Pool(2, initializer=load, initargs=(words,)) as pool:
        for some in pool.imap_unordered(misspelt, lines):  # whichever is ready
            found += some
    print(*sorted(found))


if __name__ == "__main__":
    main()
