from mpservice.multiprocessing import FIRST_COMPLETED, Event, Process, as_completed, wait


def race(start):
    start.wait()


def main():
    starts = {name: Event() for name in ["a", "b", "c"]}
    runners = [Process(target=race, args=(start,), name=name) for name, start in starts.items()]
    for runner in runners:
        runner.start()

    starts["b"].set()
    done, running = wait(runners, return_when=FIRST_COMPLETED)
    print([p.name for p in done], "is there,", sorted(p.name for p in running), "are on their way")

    starts["c"].set()
    for runner in as_completed(running):
        print(runner.name, "is there")
        starts["a"].set()


if __name__ == "__main__":
    main()
