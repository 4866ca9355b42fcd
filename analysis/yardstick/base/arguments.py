"""What a command line may say: numbers are read strictly, names are not empty, nothing is given twice."""
import argparse
import re

LARGEST = (1 << 63) - 1


def whole(least=0, most=LARGEST):
    """A reader of whole numbers in plain decimal digits from `least` to `most`."""
    def read(text):
        if not re.fullmatch("0|[1-9][0-9]*", text, re.ASCII) or len(text) > 19 or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"'{text[:40]}' is not a whole number in decimal digits, at least {least} and at most {most}")
        return int(text)
    return read


def name(text):
    """The name of a file or folder."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError("an empty name; give that of a file or folder")
    return text


class Once(argparse.Action):
    """An option that is given once at most."""

    def __call__(self, parser, namespace, values, option_string=None):
        given = namespace.__dict__.setdefault("given_once", set())
        if self.dest in given:
            parser.error(f"argument {option_string}: given twice")
        given.add(self.dest)
        setattr(namespace, self.dest, values)
