"""One of the programs that bench/gpu.py alternates: a process that does n repetitions when asked, and says what they took."""
import json
import pathlib
import queue
import shlex
import subprocess
import threading


class Failed(Exception):
    """A side ended, gave no answer in time, or refused."""


class Side:
    """`command` must speak as src/bench/serve.hpp says. What else it prints goes to `log`."""

    def __init__(self, name, command, log, folder):
        self.name, self.command, self.log, self.folder = name, command, pathlib.Path(log), folder
        self.process, self.ready = None, None

    @property
    def running(self):
        return self.process is not None

    def start(self, timeout):
        """Starts it and waits until it is ready: `self.ready` is then what it says of itself. Failed(why) where it will not be."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "a") as log:
            log.write(f"$ {shlex.join(self.command)}\n")
            log.flush()
            self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                                            cwd=self.folder)
        self.lines = queue.Queue()
        threading.Thread(target=self.listen, args=(self.process, self.lines), daemon=True).start()
        self.ready = self.answer(timeout)
        if not self.ready.get("ready"):
            self.stop()
            raise Failed(f"{self.name}: {self.ready.get('why', 'not ready')}")

    @staticmethod
    def listen(process, lines):
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    def answer(self, timeout):
        """The next line that is a JSON object; others are a launcher's."""
        while True:
            try:
                line = self.lines.get(timeout=timeout)
            except queue.Empty:
                self.kill()
                raise Failed(f"{self.name}: no answer in {timeout:.0f} s; see {self.log}")
            if line is None:
                code = self.process.wait()
                self.process = None
                raise Failed(f"{self.name}: ended with code {code}; see {self.log}")
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                return found

    def ask(self, what, n, timeout=600.0):
        """Milliseconds of n repetitions."""
        try:
            self.process.stdin.write(f"{what} {n}\n")
            self.process.stdin.flush()
        except OSError as error:
            raise Failed(f"{self.name}: {error}; see {self.log}")
        found = self.answer(timeout)
        if what not in found:
            raise Failed(f"{self.name}: {found.get('error', found)}")
        return found[what]

    def stop(self):
        if not self.running:
            return
        try:
            self.process.stdin.write("quit\n")
            self.process.stdin.close()
            self.process.wait(timeout=60)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        self.process = None

    def kill(self):
        if self.running:
            self.process.kill()
            self.process.wait()
        self.process = None
