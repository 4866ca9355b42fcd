"""What a driver asks for line by line: the other end of `switchyard bench step --serve` (src/bench/serve.hpp), for opponents.

Lines "NAME COUNT" of standard input are answered by {"NAME": [ms, ...]}; "quit" or the end ends it."""
import json
import os
import sys


class Answers:
    """Standard output for answers alone: what libraries print goes to standard error from here on."""

    def __init__(self):
        sys.stdout.flush()
        self.out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def say(self, answer):
        print(json.dumps(answer), file=self.out, flush=True)

    def serve(self, ready, measures):
        """measures[NAME](COUNT) gives milliseconds of each."""
        self.say({**ready, "ready": True})
        for line in sys.stdin:
            words = line.split()
            if words == ["quit"]:
                return
            if len(words) == 2 and words[0] in measures and words[1].isdigit() and int(words[1]) > 0:
                self.say({words[0]: measures[words[0]](int(words[1]))})
            else:
                self.say({"error": f"'{line.strip()}' is not understood; ask for 'NAME COUNT' or 'quit'"})
