"""Commands that take several files or folders take each once, by whatever path it is given."""
import argparse
import os

import pytest
from fixture import write_run

from yardstick import cli
from yardstick.base.arguments import Several, alike

SEVERAL = {"compare", "journeys", "report", "specialisation", "trace"}


def arguments():
    """(command, argument) of every argument that takes more than one value."""
    (commands,) = [a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return [(name, a) for name, parser in commands.choices.items() for a in parser._actions if a.nargs not in (None, 0, "?")]


def test_every_argument_of_several_values_is_held_to_it():
    assert {name for name, _ in arguments()} == SEVERAL and all(isinstance(a, Several) for _, a in arguments())


SPELLINGS = ["{given}", "./{given}", "{given}/", "x/../{given}", "{here}/{given}", "link", "linked/{given}"]


@pytest.mark.parametrize("command", sorted(SEVERAL))
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_same_is_not_counted_twice(tmp_path, monkeypatch, capsys, command, spelling):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    for name in ("P", "Q"):
        write_run(tmp_path / name, config="train:\n  seed: 1\n")
    os.symlink("P", "link")
    os.symlink(".", "linked")
    again = spelling.format(given="P", here=tmp_path)
    assert cli.main([command, "P", "Q", again]) == 2
    said = capsys.readouterr()
    assert said.err == f"yardstick: {os.path.realpath('P')} is given twice (as P and {again}); give each once\n" and not said.out


def test_a_name_that_leads_nowhere_is_given_once_too(tmp_path, capsys):
    os.symlink(tmp_path / "loop", tmp_path / "loop")
    for name, twice in (("none", True), ("loop", True), ("other", False)):
        assert cli.main(["trace", str(tmp_path / "none"), *[str(tmp_path / name)] * (1 + twice)]) == 2
        assert ("given twice" in capsys.readouterr().err) == twice


@pytest.mark.parametrize("keys,pair", [([], None), (["a"], None), (["a", "b"], None), (["b", "a", "c", "a", "b"], (1, 3)),
                                       ([None, None], None), (["1", None, "1"], (0, 2)), (["a"] * 3, (0, 1))])
def test_the_first_two_that_are_alike(keys, pair):
    assert alike(keys) == pair
