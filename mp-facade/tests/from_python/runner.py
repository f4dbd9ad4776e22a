from mpservice.multiprocessing.runner import ProcessRunnee, ProcessRunner


class Anagrams(ProcessRunnee):
    def __init__(self, words):
        self.words = words

    def __call__(self, word):
        return [known for known in self.words if sorted(known) == sorted(word)]


def main():
    words = ["listen", "silent", "below", "elbow"]
    with ProcessRunner(target=Anagrams, args=(words,)) as anagrams:
        print("bowel:", ", ".join(anagrams("bowel")))
        anagrams.restart("tinsel")
        print("asked for tinsel")
        print("tinsel:", ", ".join(anagrams.rejoin()))


if __name__ == "__main__":
    main()
