"""The time that many cases share."""
import time


class Budget:
    """`seconds` for `cases`; None: as long as they take."""

    def __init__(self, seconds, cases):
        self.end = time.monotonic() + seconds if seconds else float("inf")
        self.cases, self.begun, self.least = cases, None, 0.0

    def next(self):
        """When the next case has had its share; None where no time is left for what the quickest case so far has taken."""
        now = time.monotonic()
        if self.begun is not None:
            self.least = min(self.least or now - self.begun, now - self.begun)
        left, share = self.end - now, (self.end - now) / max(1, self.cases)
        self.cases, self.begun = self.cases - 1, now
        if left <= self.least:
            self.begun = None
            return None
        return now + share
