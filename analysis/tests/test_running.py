"""A run that is being written is read without fail: what does not read is opened anew while its lock is held."""
import fcntl
import os
import pathlib
import shutil
import struct
import subprocess
import threading
import time
import warnings

import h5py
import pytest
from fixture import write_run

import yardstick
from yardstick.cli import main
from yardstick.records import hdf5, lock

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("SWITCHYARD", ROOT / "build/openmp/switchyard"))
OPENS = int(os.environ.get("RUNNING_OPENS", 20))


def locked(run):
    """The lock of a run, held as the program holds it until it is closed."""
    file = open(run / "lock", "w")
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack(lock.LAYOUT, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    return file


def test_the_lock_is_seen(tmp_path):
    run = write_run(tmp_path)
    assert not lock.held(run) and not lock.held(run / "segments/000/run.h5")
    with locked(run):
        assert lock.held(run) and lock.held(run / "segments/000/run.h5")
    assert not lock.held(run)


def test_what_is_being_written_is_opened_anew(tmp_path):
    run = write_run(tmp_path)
    path = run / "segments/000/run.h5"
    whole = path.read_bytes()
    path.write_bytes(whole[:3000])
    with locked(run):
        later = threading.Timer(0.15, path.write_bytes, [whole])
        later.start()
        assert yardstick.open(run).sizes["row"] == 40
        later.join()


@pytest.mark.parametrize("held,least,most", [(True, sum(hdf5.WAITS), 4), (False, 0, 1)])
def test_a_damaged_file_is_told_within_seconds(tmp_path, held, least, most):
    for n in range(5):
        write_run(tmp_path, segment=n, first=1 + 40 * n)
        (tmp_path / f"segments/{n:03d}/run.h5").write_bytes(b"no HDF5")
    file = locked(tmp_path) if held else open(os.devnull)
    begun = time.monotonic()
    with file, pytest.raises(yardstick.RecordError, match="no segment has a run.h5 that can be read.*004"):
        yardstick.open(tmp_path)
    assert least <= time.monotonic() - begun < most


def test_no_rows_yet(tmp_path, capsys):
    write_run(tmp_path)
    with h5py.File(tmp_path / "segments/000/run.h5", "a") as f:
        for name in [n for n in f if f[n].shape and f[n].shape[0] == 40 and f[n].maxshape[0] is None]:
            f[name].resize(0, 0)
    assert main(["report", str(tmp_path)]) == 2 and "no job is writing it: go on with `switchyard resume`" in capsys.readouterr().err
    with locked(tmp_path):
        assert main(["report", str(tmp_path)]) == 2 and "wait for record.flush_every steps" in capsys.readouterr().err


CONFIG = """model: {width: 64, blocks: 4, heads: 4, context: 128, hidden: 128}
moe: {experts: 4, top_k: 2, every: 2, hidden: 64}
train: {steps: 1000000, batch: 16, grains: 4, evaluate_every: 20, evaluate_tokens: 2048, checkpoint_every: 200}
record: {flush_every: 2, sample_every: 20}
"""


@pytest.mark.skipif(not PROGRAM.exists(), reason="the program is not built")
def test_opening_a_training_in_a_loop(tmp_path):
    """20 opens and a report here; the long form is RUNNING_OPENS=200, with 20 reports."""
    (tmp_path / "t").mkdir()
    for i in range(20):
        shutil.copy(ROOT / "README.md", tmp_path / f"t/{i}.txt")
    subprocess.run([PROGRAM, "data", "build", "--out", tmp_path / "c", tmp_path / "t", "--validation-share", "0.2"], check=True,
                   capture_output=True)
    (tmp_path / "c.yaml").write_text(CONFIG)
    run, wrong = tmp_path / "r", []
    training = subprocess.Popen([PROGRAM, "train", tmp_path / "c.yaml", "--run", run, f"data.path={tmp_path / 'c'}"], env=os.environ | dict(
        OMP_NUM_THREADS="1"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (run / "segments/000/tokens.r0000.h5").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert (run / "segments/000/tokens.r0000.h5").exists(), "the training did not begin"
        time.sleep(1)
        for i in range(OPENS):
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always", yardstick.RecordWarning)
                try:
                    yardstick.open(run), yardstick.open_evaluation(run), yardstick.open_tokens(run)
                except yardstick.SchemaError as error:
                    wrong.append(str(error))
                wrong += [str(w.message) for w in said]
            if i % 10 == 0 and (i == 0 or OPENS >= 200):
                assert main(["report", str(run), "--out", str(tmp_path / "report")]) == 0
        assert training.poll() is None and not wrong
    finally:
        training.kill()
        training.wait()
