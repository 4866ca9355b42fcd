"""What the clocks of a GPU were while something ran, as nvidia-smi reads them. Nothing is ever set."""
import shutil
import statistics
import subprocess
import threading
import time

FIELDS = ("clocks.sm", "clocks.mem", "power.draw", "temperature.gpu")
NAMES = ("sm_mhz", "memory_mhz", "watts", "celsius")


class Clocks:
    """Reads them five times a second from construction to close(); never anything where there is no nvidia-smi."""

    def __init__(self, gpu=0):
        self.seen, self.process = [], None
        if shutil.which("nvidia-smi") is None:
            return
        self.process = subprocess.Popen(
            ["nvidia-smi", f"--id={gpu}", "--query-gpu=" + ",".join(FIELDS), "--format=csv,noheader,nounits", "--loop-ms=200"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            try:
                self.seen.append((time.monotonic(), [float(word) for word in line.split(",")]))
            except ValueError:
                continue  # "[N/A]"

    def during(self, spans):
        """Medians of what was read in spans (begin, end) of time.monotonic(); None where nothing was."""
        rows = [row for at, row in list(self.seen) if any(begin <= at <= end for begin, end in spans)]
        if not rows:
            return None
        return {name: statistics.median(column) for name, column in zip(NAMES, zip(*rows))}

    def close(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
