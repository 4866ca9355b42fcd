"""What a command line may say: numbers are read strictly, names are not empty, nothing is given twice."""
import argparse
import os
import re

from .faults import SchemaError

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


def alike(keys):
    """Places of the first two that are equal, or None; a key that is None is not known and equals none."""
    first = {}
    for place, key in enumerate(keys):
        if key is not None and first.setdefault(key, place) != place:
            return first[key], place
    return None


class Several(argparse.Action):
    """Files or folders, at least one, and each once by whatever path: counted twice, one run would stand for two."""

    def __init__(self, **options):
        super().__init__(**options | dict(nargs="+"))

    def __call__(self, parser, namespace, values, option_string=None):
        places = [os.path.realpath(value) for value in values]
        twice = alike(places)
        if twice:
            first, second = twice
            raise SchemaError(f"{places[first]} is given twice (as {values[first]} and {values[second]}); give each once")
        setattr(namespace, self.dest, values)


class Once(argparse.Action):
    """An option that is given once at most."""

    def __call__(self, parser, namespace, values, option_string=None):
        given = namespace.__dict__.setdefault("given_once", set())
        if self.dest in given:
            parser.error(f"argument {option_string}: given twice")
        given.add(self.dest)
        setattr(namespace, self.dest, values)
