import multiprocessing

mp = multiprocessing.get_context("spawn")


def shout(conn):
    try:
        while True:
            conn.send(conn.recv().upper())
    except EOFError:
        print("nobody is there any more", flush=True)


def main():
    ours, theirs = mp.Pipe()
    p = mp.Process(target=shout, args=(theirs,))
    p.start()
    theirs.close()  # without this there is no end of file
    for word in ["hello", "world"]:
        ours.send(word)
        print(ours.recv(), flush=True)
    ours.close()
    p.join()


if __name__ == "__main__":
    main()
