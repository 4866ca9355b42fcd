"""What a command says of a folder that it cannot use is true, and so is its advice."""
import re

import pytest
from fixture import write_run
from sweep_fixture import config_of, write_sweep

from yardstick.cli import main

OFTEN = "train:\n  evaluate_every: 10\n"
RUNS = dict(dense=dict(layers=0, config=OFTEN),
            dense_without_evaluations=dict(layers=0, evaluations=0, config="train:\n  evaluate_every: 0\n"),
            never=dict(evaluations=0, config="train:\n  evaluate_every: 0\n"), not_yet=dict(evaluations=0, rows=1, config=OFTEN))
SAID = dict(dense="the model is dense", dense_without_evaluations="the model is dense", never=r"was recorded \(train.evaluate_every: 0\)",
            not_yet=r"recorded yet \(train.evaluate_every: 10\)")


@pytest.mark.parametrize("command", [["routing"], ["specialisation"]], ids=lambda c: c[0])
@pytest.mark.parametrize("kind", RUNS)
def test_a_run_without_routing(tmp_path, capsys, kind, command):
    assert main([*command, str(write_run(tmp_path, **RUNS[kind]))]) == 2
    said = capsys.readouterr().err
    assert re.search(SAID[kind], said) and "set train.evaluate_every" not in said and "with experts and evaluations" in said


def test_a_run_of_one_row_is_drawn(tmp_path, capsys):
    run = write_run(tmp_path / "r", rows=1)
    for command in (["load", str(run), "--out", str(tmp_path / "o")], ["specialisation", str(run)]):
        assert main(command) == 0 and capsys.readouterr().err == ""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    work = tmp_path_factory.mktemp("folders")
    for name in ("empty", "unused/segments"):
        (work / name).mkdir(parents=True)
    (work / "file").write_text("x")
    write_run(work / "run", layers=0)
    write_sweep(work / "sweep", {"a": (4.0, config_of(train__steps=40)), "b": (4.1, None)}, seeds=(1,))
    return work


OF_A_RUN, OF_A_SWEEP = ("report", "routing", "load", "specialisation", "timeline", "placement"), ("balancing", "capacity", "top-k")
WRONG = [(OF_A_RUN, "sweep", "is the folder of a sweep, not of a run; give one of its runs"),
         (OF_A_RUN, "file", "is a file, not a run folder"),
         (OF_A_RUN, "empty", "not a run folder"), (OF_A_RUN, "none", "no such folder"), (OF_A_RUN, "unused", "has no segment yet"),
         (OF_A_SWEEP, "run", "is the folder of a run, not of a sweep"), (OF_A_SWEEP, "file", "is a file, not the folder of a sweep"),
         (OF_A_SWEEP, "empty", "has no results.h5"), (["saturation"], "sweep", "is a folder; give the results.h5 in it"),
         (["saturation"], "none", "no such file"), (["known-answer"], "empty", "bend-16-ideal.csv: no such file; make it"),
         (["law"], "none", ": no such file; the published curves are"), (["trace"], "run", "is not a file; give a figure"),
         (["communication"], "empty", "exchange.jsonl: no such file; make it with experiments/communication/run.sh"),
         (["accounting"], "empty", "no such file; make it with switchyard check")]


@pytest.mark.parametrize("command,folder,said", [(c, folder, said) for commands, folder, said in WRONG for c in commands])
def test_another_folder_says_what_it_is(folders, tmp_path, capsys, command, folder, said):
    needed = dict(load=["--out", str(tmp_path / "o")], placement=["--nodes", "2"]).get(command, [])
    assert main([command, str(folders / folder), *needed]) == 2
    assert re.fullmatch(f"yardstick: {folders}/{folder}.*{said}.*\n", capsys.readouterr().err) and not list(tmp_path.iterdir())
