"""Figures say where they come from, and the same numbers give the same bytes."""
import json

import h5py
import matplotlib.pyplot as plt
import pytest
from fixture import write_run

from yardstick.drawing import figure_file
from yardstick.cli import main
from yardstick.base.faults import SchemaError
from yardstick.drawing.figure_file import Origin, Run

ORIGIN = Origin("yardstick x 'a b'", "c0ffee", {"r.h5": "00ff"}, [Run("tasks/E1", "0123456789ab", "abc", "switchyard train <a> & \"ü\"")],
                "Loss, β < 1")


def drawn():
    figure, axis = plt.subplots()
    axis.plot([1, 3, 2], label="a")
    axis.legend()
    return figure


@pytest.mark.parametrize("kind", figure_file.KINDS)
def test_what_was_saved_is_read_and_the_bytes_are_the_same(tmp_path, kind):
    for name in "ab":
        figure_file.save(drawn(), tmp_path, name, ORIGIN)
    assert figure_file.read_origin(tmp_path / f"a.{kind}") == ORIGIN
    assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    assert not plt.get_fignums(), "the figure is closed"


def test_one_kind_alone(tmp_path):
    figure_file.save(drawn(), tmp_path, "a", ORIGIN, ["png"])
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("name,content,complaint",
                         [("none.svg", None, "no such file"), ("a.svg", b"<svg/>", "does not say"), ("b.svg", b"no xml", "does not say"),
                          ("c.png", b"no image", "does not say")])
def test_other_files_say_so(tmp_path, capsys, name, content, complaint):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SchemaError, match=complaint):
        figure_file.read_origin(tmp_path / name)
    assert main(["trace", str(tmp_path / name)]) == 2 and complaint in capsys.readouterr().err


@pytest.mark.parametrize("inputs", [["r.h5"], "r.h5", None])
def test_inputs_that_are_no_table_say_so(tmp_path, capsys, inputs):
    figure_file.save(drawn(), tmp_path, "a", ORIGIN._replace(inputs=inputs))
    for name in ("a.svg", "a.png"):
        assert main(["trace", str(tmp_path / name)]) == 2 and "does not say" in capsys.readouterr().err


@pytest.mark.parametrize("kind", figure_file.KINDS)
def test_a_figure_without_origin_says_so(tmp_path, kind):
    figure = drawn()
    figure.savefig(tmp_path / f"a.{kind}")
    plt.close(figure)
    with pytest.raises(SchemaError, match="make older ones anew"):
        figure_file.read_origin(tmp_path / f"a.{kind}")


def test_trace_names_every_run_once_under_its_commit(tmp_path, capsys):
    runs = [Run(f"tasks/E{i}", f"{i:012x}", "old" if i == 3 else "new", f"switchyard train E{i}.yaml") for i in range(5)]
    for name in "ab":
        figure_file.save(drawn(), tmp_path, name, ORIGIN._replace(runs=runs))
    assert main(["trace", str(tmp_path / "a.svg"), str(tmp_path / "b.png")]) == 0
    text = capsys.readouterr().out
    assert text.count("yardstick x 'a b'") == 2 and text.count("r.h5  sha256 00ff") == 2
    assert text.count("4 runs of commit new") == text.count("1 run of commit old") == 2
    assert all(text.count(f"{run.id}  {run.run}: {run.command}") == 2 for run in runs)


def test_origin_of_a_run_is_that_of_its_segments(tmp_path):
    run = write_run(tmp_path)
    write_run(tmp_path, first=41, segment=1)
    (run / "segments/002").mkdir()
    (run / "segments/002/run.h5").write_bytes(b"killed")
    with h5py.File(run / "segments/001/run.h5", "a") as f:
        f.attrs.update(config_sha256="f" * 64, commit="def", provenance=json.dumps(dict(command=["switchyard", "resume", "a b"])))
    origin = figure_file.origin_of_run("yardstick report", run)
    assert [(r.id, r.commit, r.command) for r in origin.runs] == [("unknown", "abc", "unknown"),
                                                                  ("f" * 12, "def", "switchyard resume 'a b'"), ("unknown",) * 3]
    assert len(origin.inputs) == 5 and origin.inputs[str(run / "segments/001/run.h5")] == figure_file.sha256(run / "segments/001/run.h5")
