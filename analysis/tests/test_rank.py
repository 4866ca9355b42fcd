"""Effective rank of experts: against singular values, at its ends, of every kept checkpoint, and what is said where there is none."""
import h5py
import numpy as np
import pytest
from fixture import write_checkpoint, write_run

import yardstick
from yardstick.records import weights
from yardstick.tables.rank import participation

RNG = np.random.default_rng(3)


def by_singular_values(matrix):
    squares = np.linalg.svd(matrix, compute_uv=False) ** 2
    return squares.sum() ** 2 / (squares**2).sum()


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (7, 7)])
def test_against_singular_values(shape):
    matrix = RNG.normal(size=shape)
    assert participation(matrix) == pytest.approx(by_singular_values(matrix))


def test_ends():
    orthogonal = np.linalg.qr(RNG.normal(size=(9, 6)))[0]
    assert participation(orthogonal) == pytest.approx(6) and participation(3 * orthogonal.T) == pytest.approx(6)
    assert participation(np.outer(RNG.normal(size=4), RNG.normal(size=8))) == pytest.approx(1)
    assert np.isnan(participation(np.zeros((2, 3))))


def test_every_checkpoint_layer_and_expert(tmp_path):
    run = write_run(tmp_path)
    experts = {step: {block: RNG.normal(size=(40, 6, 4)).astype(np.float32) for block in (1, 3)} for step in (20, 4)}
    for step, blocks in experts.items():
        write_checkpoint(run, step, blocks)
    opened = yardstick.open(run)
    frame = opened.effective_rank()
    assert frame["step"].drop_duplicates().tolist() == [4, 20] and len(frame) == 2 * 2 * 40
    for row in frame.itertuples():
        assert row.effective_rank == pytest.approx(by_singular_values(experts[row.step][row.layer][row.expert]), rel=1e-6)
    one = opened.effective_rank(layer=3, step=20)
    assert list(one["expert"]) == list(range(40)) and set(one["layer"]) == {3}
    for wrong, said in ((dict(step=5), "no checkpoint of step 5 is kept; there are those of 4, 20"),
                        (dict(layer=2), "there are the blocks 1, 3")):
        with pytest.raises(yardstick.SchemaError, match=said):
            opened.effective_rank(**wrong)


def test_experts_whose_hidden_width_is_cut_are_whole(tmp_path):
    """With `moe.hidden_chunks` a dataset has a row for each part of an expert, 32 experts a file as ever."""
    run = write_run(tmp_path, config="moe:\n  hidden_chunks: 4  # equal parts of it\n")
    experts = RNG.normal(size=(40, 8, 6)).astype(np.float32)
    write_checkpoint(run, 4, {1: experts}, chunks=4)
    frame = yardstick.open(run).effective_rank()
    assert frame["expert"].tolist() == list(range(40))
    assert frame["effective_rank"].tolist() == pytest.approx([by_singular_values(one) for one in experts], rel=1e-6)


def test_columns_of_a_down_projection_that_is_cut(tmp_path):
    whole = RNG.normal(size=(2, 3, 8)).astype(np.float32)  # (E, d, hidden)
    folder = write_checkpoint(write_run(tmp_path), 4, {1: whole})
    with h5py.File(folder / "experts-01-0000.h5", "a") as f:
        f["blocks.1.moe.experts.down.weight/value"] = np.concatenate([np.stack(np.split(one, 2, axis=1)) for one in whole])
    found = weights.each_expert(folder, "down", np.copy, weights.Cut(chunks=2))
    assert [e for _, e, _ in found] == [0, 1] and all((got == one).all() for (_, _, got), one in zip(found, whole))
    with pytest.raises(yardstick.RecordError, match="2 parts of experts, of which moe.hidden_chunks: 4 make one"):
        weights.each_expert(folder, "up", np.copy, weights.Cut(chunks=4))


def test_of_one_layer_no_other_is_read(tmp_path):
    run, read = write_run(tmp_path), []
    folder = write_checkpoint(run, 4, {block: np.ones((3, 6, 4), np.float32) for block in (1, 3)})
    weights.each_expert(folder, "up", lambda matrix: read.append(matrix.shape), weights.Cut(block=3))
    assert read == [(6, 4)] * 3


def test_a_run_without_checkpoints_and_files_of_other_hands(tmp_path):
    run = write_run(tmp_path)
    with pytest.raises(yardstick.SchemaError, match="no checkpoint is kept.*train.checkpoint_every"):
        yardstick.open(run).effective_rank()
    folder = write_checkpoint(run, 4, {1: np.ones((3, 6, 4), np.float32)})
    with h5py.File(folder / "experts-01-0000.h5", "r+") as f:
        del f["blocks.1.moe.experts.up.weight/value"]
        f["blocks.1.moe.experts.up.weight/value"] = h5py.SoftLink("/elsewhere")
    with pytest.raises(yardstick.RecordError, match="experts-01-0000.h5"):
        yardstick.open(run).effective_rank()
    (folder / "manifest.json").unlink()  # a checkpoint that was not finished
    with pytest.raises(yardstick.SchemaError, match="no checkpoint is kept"):
        weights.checkpoints(run)


def test_matrices_of_other_files_and_of_no_such_size_are_refused(tmp_path):
    run = write_run(tmp_path)
    other = write_checkpoint(run, 2, {1: np.ones((3, 6, 4), np.float32)})
    path = write_checkpoint(run, 4, {1: np.ones((3, 6, 4), np.float32)}) / "experts-01-0000.h5"
    place = "blocks.1.moe.experts.up.weight/value"
    for made in (lambda f: f.__setitem__(place, h5py.ExternalLink(str(other / path.name), place)),
                 lambda f: f.create_dataset(place, (1, 60000, 60000), "f4", chunks=(1, 100, 100))):
        with h5py.File(path, "r+") as f:
            del f[place]
            made(f)
        with pytest.raises(yardstick.RecordError, match="lies outside the file|claims 3,600,000,000 values"):
            yardstick.open(run).effective_rank(step=4)
