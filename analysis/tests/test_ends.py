"""However a command ends, it ends with an exit code of the table and one sentence, and leaves whole files or none."""
import errno
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest
from fixture import write_run
from placement_fixture import sampled_run
from sweep_fixture import config_of, write_sweep
from test_pages import untested
from timeline_fixture import timed

from yardstick import cli
from yardstick.base import faults, writing
from yardstick.drawing import figure_file

PACKAGE = pathlib.Path(cli.__file__).parents[1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run") / "r", choices=2)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    arms = {name: (loss, config_of(train__steps=40, train__batch=8, train__grains=4, moe__capacity_factor=factor))
            for name, loss, factor in (("aux-batch", 4.0, 1.25), ("free-mid", 4.1, 0.0))}
    return write_sweep(tmp_path_factory.mktemp("sweep") / "s", arms, seeds=(1, 2))


def environment():
    """As a shell starts the command: what is written to a stream may wait in it."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | dict(PYTHONPATH=str(PACKAGE))


def hear_signals():
    """As from a terminal, also where the tests run under nohup or in the background."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def command(*arguments, **options):
    """A process of its own, as a shell starts it."""
    return subprocess.Popen([sys.executable, "-m", "yardstick.cli", *map(str, arguments)], text=True,
                            **dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=hear_signals,
                                   env=environment() | dict(OMP_NUM_THREADS="1")) | options)


def sentence(said):
    """The one line of standard error."""
    lines = [line for line in said.splitlines() if line]
    assert len(lines) == 1 and lines[0].startswith("yardstick: "), said
    return lines[0]


@pytest.mark.parametrize("arguments", [["load", "{run}", "--out", "{out}"], ["--help"], ["routing", "--help"]])
def test_a_full_standard_output_is_5(run, tmp_path, arguments):
    with open("/dev/full", "w") as full:
        process = command(*[a.format(run=run, out=tmp_path) for a in arguments], stdout=full)
        said = process.communicate()[1]
    assert process.returncode == 5 and "standard output: cannot be written (No space left" in sentence(said)


def test_a_closed_standard_output_is_5_before_anything_is_done(run, tmp_path):
    process = command("load", run, "--out", tmp_path / "o", stdout=None, preexec_fn=lambda: os.close(1))
    assert "it is closed" in sentence(process.communicate()[1]) and process.returncode == 5 and not (tmp_path / "o").exists()


def test_a_pipe_that_closes_is_5_and_the_files_are_there(run, tmp_path):
    read, write = os.pipe()
    os.close(read)
    process = command("load", run, "--out", tmp_path, stdout=write)
    os.close(write)
    assert "Broken pipe" in sentence(process.communicate()[1]) and process.returncode == 5
    assert {p.name for p in tmp_path.iterdir()} == {"load.csv", "load.svg", "load.png"}


def test_a_lost_standard_error_changes_no_code(tmp_path):
    with open("/dev/full", "w") as full:
        process = command("report", tmp_path, stderr=full)
        process.communicate()
    assert process.returncode == 2


def test_a_library_that_warns_in_vain_changes_no_code(tmp_path):
    """Matplotlib says that it builds its font cache, where that takes long; what is left of it must not fail at the end."""
    lines = "import logging, sys; from yardstick import cli; logging.warning('building'); sys.exit(cli.main())"
    with open("/dev/full", "w") as full:
        process = subprocess.run([sys.executable, "-c", lines, "report", tmp_path], stderr=full, stdout=subprocess.PIPE,
                                 env=environment())
    assert process.returncode == 2


WAITS = "time.sleep(60)"
DROPS = "type('Dropped', (), {'__del__': lambda self: signal.raise_signal(int(os.environ['NUMBER']))})()"  # what a handler raises there


@pytest.mark.parametrize("number,code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("write", [WAITS, DROPS], ids=["comes", "dropped"])
def test_a_signal_leaves_nothing(run, tmp_path, number, code, write):
    """While a file is written; also where Python drops what the handler raises."""
    (tmp_path / "load.csv").write_text("of before")
    lines = f"import os, signal, sys, time; from yardstick import cli; os.fsync = lambda file: {write}; sys.exit(cli.main())"
    process = subprocess.Popen([sys.executable, "-c", lines, "load", run, "--out", tmp_path], text=True, stderr=subprocess.PIPE,
                               preexec_fn=hear_signals, env=environment() | dict(NUMBER=str(int(number))))
    while write == WAITS and not any(tmp_path.glob(".*.part")):
        assert process.poll() is None
        time.sleep(0.005)
    if write == WAITS:
        process.send_signal(number)
    said = process.communicate()[1]
    assert process.returncode == code and ("interrupted" if code == 130 else "ended by SIG") in sentence(said)
    assert [p.name for p in tmp_path.iterdir()] == ["load.csv"] and (tmp_path / "load.csv").read_text() == "of before"


WRITERS = [["report", "{run}", "--out", "{out}"], ["routing", "{run}", "--out", "{out}"], ["load", "{run}", "--out", "{out}"],
           ["specialisation", "{run}", "--out", "{out}"], ["timeline", "{timed}", "--out", "{out}"],
           ["placement", "{sampled}", "--nodes", "2", "--out", "{out}/p.yaml"],
           ["balancing", "{sweep}", "--out", "{out}"], ["capacity", "{sweep}", "--out", "{out}"],
           ["acceptance", "{pages}", "--out", "{out}/a.md"], ["gallery", "{pages}", "--out", "{out}/a.md"]]


@pytest.fixture
def given(run, sweep, tmp_path):
    return dict(run=run, sweep=sweep, timed=timed(tmp_path / "t"), sampled=sampled_run(tmp_path / "s"),
                pages=untested(tmp_path / "pages"), out=tmp_path / "out")


@pytest.mark.parametrize("arguments", WRITERS, ids=lambda a: a[0])
def test_a_place_that_is_a_file_is_2(given, capsys, arguments):
    given["out"].write_text("of the user")
    assert cli.main([a.format(**given) for a in arguments]) == 2
    assert re.search(r"out.*: cannot be written \((it is a file|Not a directory)\); give --out", sentence(notes_apart(capsys)))
    assert given["out"].read_text() == "of the user"


def notes_apart(capsys):
    return "\n".join(line for line in capsys.readouterr().err.splitlines() if "left out" not in line)


CODES = [(errno.ENOSPC, 5), (errno.EDQUOT, 5), (errno.EIO, 5), (errno.EROFS, 2), (errno.EACCES, 2), (errno.ENOMEM, 8)]


@pytest.mark.parametrize("arguments,number,code",
                         [(arguments, *CODES[0]) for arguments in WRITERS] + [(WRITERS[-1], *c) for c in CODES[1:]])
def test_a_write_that_fails_leaves_nothing(given, capsys, monkeypatch, arguments, number, code):
    def fails(file):
        raise OSError(number, os.strerror(number))
    monkeypatch.setattr(writing.os, "fsync", fails)
    assert cli.main([a.format(**given) for a in arguments]) == code
    assert os.strerror(number) in sentence(notes_apart(capsys)) and not given["out"].exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small file system")
def test_a_disk_that_is_full_and_one_that_is_read_only(run, tmp_path, capsys):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40k", "none", tmp_path], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        assert cli.main(["report", str(run), "--out", str(tmp_path / "o")]) == 5 and "No space left" in sentence(capsys.readouterr().err)
        assert not any(tmp_path.iterdir())
        subprocess.run(["mount", "-o", "remount,ro", tmp_path], check=True)
        assert cli.main(["report", str(run), "--out", str(tmp_path / "o")]) == 2 and "Read-only" in sentence(capsys.readouterr().err)
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("error,code,words", [(MemoryError("Unable to allocate 8 EiB"), 8, "out of memory"),
                                              (KeyboardInterrupt(), 130, "interrupted"),
                                              (ZeroDivisionError("x"), 1, "a defect of yardstick (ZeroDivisionError: x, "),
                                              (PermissionError(errno.EACCES, "Permission denied", "a"), 2, "a: cannot be used"),
                                              (faults.RecordError("r: bad\nthings"), 4, "r: bad things")])
def test_whatever_happens_has_a_code(monkeypatch, capsys, error, code, words):
    monkeypatch.setattr(figure_file, "trace", lambda path: (_ for _ in ()).throw(error))
    assert cli.main(["trace", "a.svg"]) == code and words in sentence(capsys.readouterr().err)


@pytest.mark.parametrize("flag", ["--shuffles", "--least", "--seed"])
@pytest.mark.parametrize("value", ["1_000", " 5", "5 ", "\u0663", "+5", "05", "0x10", "1e2", "", "-1", "9223372036854775808", "9" * 5000])
def test_numbers_are_plain_digits(tmp_path, capsys, flag, value):
    with pytest.raises(SystemExit) as ended:
        cli.main(["routing", str(tmp_path), f"{flag}={value}"])
    assert ended.value.code == 2 and f"argument {flag}" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["report", ""], ["report", "r", "--out", ""], ["routing", "r", "--seed", "1", "--seed", "2"],
                                       ["routing", "r", "--shuf", "3"], ["trace", "a\0b"], ["reprot", "r"]])
def test_command_lines_that_mean_nothing(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2 and "Traceback" not in capsys.readouterr().err


def test_a_name_that_is_no_text_is_shown_all_the_same(tmp_path, capfd):
    assert cli.main(["report", str(tmp_path / "\udcff$\x1b[2J")]) == 2
    assert "no such folder" in capfd.readouterr().err


def test_files_of_one_command_appear_together(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(RuntimeError), writing.together():
        writing.write_text(tmp_path / "a", "new")
        writing.write_text(tmp_path / "deep/er/b", "new")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_text() == "old"
    with writing.together():
        writing.write_text(tmp_path / "a", "new")
        writing.write_text(tmp_path / "a", "newer")
        writing.remove(tmp_path / "none")
        assert (tmp_path / "a").read_text() == "old"
    assert (tmp_path / "a").read_text() == "newer" and [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("owner,name", [(os, "open"), (os, "fsync"), (os, "chmod"), (os, "replace"), (pathlib.Path, "mkdir")])
@pytest.mark.parametrize("time", [1, 2])
def test_a_signal_just_after_something_is_made_leaves_nothing(tmp_path, monkeypatch, owner, name, time):
    """As a handler of a signal raises between two lines: what was made a line before is taken away, at the second write of a file too."""
    act, calls, place = getattr(owner, name), [], tmp_path / "deep/er/a"

    def ended(*arguments, **options):
        made = act(*arguments, **options)
        calls.append(name)
        if len(calls) == time:
            raise KeyboardInterrupt
        return made
    (tmp_path / "b").write_text("old")
    monkeypatch.setattr(owner, name, ended)
    with pytest.raises(KeyboardInterrupt), writing.together():
        for path in (place, place, tmp_path / "b", tmp_path / "b", tmp_path / "c"):
            writing.write_text(path, "new")
    monkeypatch.undo()
    assert not list(tmp_path.rglob("*.part"))
    if name != "replace":  # those renamed before stay
        assert [p.name for p in tmp_path.iterdir()] == ["b"] and (tmp_path / "b").read_text() == "old"


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "target").write_text("of another")
    (tmp_path / "a").symlink_to(tmp_path / "target")
    writing.write_text(tmp_path / "a", "new")
    assert (tmp_path / "target").read_text() == "of another" and not (tmp_path / "a").is_symlink()


def test_the_table_of_codes_is_that_of_the_readme():
    text = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert {faults.INPUT, faults.DAMAGED, faults.STORAGE} <= codes
