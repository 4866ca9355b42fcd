"""Signals that ask a command to end: what it made is taken away again, and it ends with 128 plus the number."""
import signal
import sys


class Ended(BaseException):
    """Such a signal, beside KeyboardInterrupt, which is SIGINT's."""

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.number = number


class Ends:
    """Hears the signals that would end the process. Python drops what a handler raises within a finalizer or a callback of a weak
    reference, so the number is kept, and `check` raises it again before the files of the command appear."""
    HEARD = {getattr(signal, name): before for name, before in (("SIGINT", signal.default_int_handler), ("SIGTERM", signal.SIG_DFL),
                                                                ("SIGHUP", signal.SIG_DFL)) if hasattr(signal, name)}

    def __init__(self):
        self.number, self.before, self.unraisable = None, [], sys.unraisablehook

    def take(self):
        """Hears them from now on; those that are ignored, or that the caller hears, stay as they are."""
        for number, before in self.HEARD.items():
            if signal.getsignal(number) == before:
                self.before.append((number, before))
                signal.signal(number, self)
        sys.unraisablehook = self._dropped

    def give_back(self):
        """What heard them before does again."""
        for number, before in self.before:
            signal.signal(number, before)
        sys.unraisablehook = self.unraisable

    def _dropped(self, what):
        if not issubclass(what.exc_type, (Ended, KeyboardInterrupt)):  # those are told at the command's end, in one sentence
            self.unraisable(what)

    def __call__(self, number, _):
        self.number = number
        self.check()

    def check(self):
        """Raises what asked the command to end, if anything did."""
        if self.number is not None:
            raise KeyboardInterrupt if self.number == signal.SIGINT else Ended(self.number)
