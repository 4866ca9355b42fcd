"""Tables as Parquet files; without pyarrow, what to install."""
import builtins

import pandas as pd
import pytest
from fixture import write_run

import yardstick
from yardstick.tables import frames


@pytest.fixture
def run(tmp_path):
    return yardstick.open(write_run(tmp_path / "run", evaluations=2))


def test_tables_come_back_as_they_were(run, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(frames.parts, "__defaults__", (500,))  # several parts
    paths = run.to_parquet(tmp_path / "out")
    assert [p.name for p in paths] == ["step.parquet", "layer.parquet", "expert.parquet", "evaluation.parquet"]
    for path in paths:
        pd.testing.assert_frame_equal(pd.read_parquet(path), run.table(path.stem))
    path, = run.to_parquet(tmp_path / "one", "expert", columns=["assigned"], layers=3, steps=slice(None, None, 10))
    pd.testing.assert_frame_equal(pd.read_parquet(path), run.table("expert", ["assigned"], layers=3, steps=slice(None, None, 10)))


def test_a_dense_run_has_fewer_tables(tmp_path):
    pytest.importorskip("pyarrow")
    dense = yardstick.open(write_run(tmp_path / "dense", layers=0, evaluations=0))
    assert [p.name for p in dense.to_parquet(tmp_path)] == ["step.parquet"]


def test_what_cannot_be_written_leaves_nothing(run, tmp_path):
    pytest.importorskip("pyarrow")
    with pytest.raises(yardstick.SchemaError, match="no column 'nothing'"):
        run.to_parquet(tmp_path / "out", columns=["nothing"])
    assert not (tmp_path / "out").exists()


def test_without_pyarrow_the_message_says_what_to_install(run, tmp_path, monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest, **options):
        if name.split(".")[0] == "pyarrow":
            raise ImportError(name)
        return real(name, *rest, **options)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(yardstick.SchemaError, match=r"need the package pyarrow, which is not installed; install yardstick\[parquet\]"):
        run.to_parquet(tmp_path)
