"""What files of records and results may not say: each breach of the schema with its sentence, and the code of a command that meets it."""
import json
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from fixture import write_run
from reference_routing import log
from test_fuzz import replaced
from test_results import frame, write_hdf5

import yardstick
from yardstick.base.faults import NotWhole, RecordError, SchemaError
from yardstick.cli import main
from yardstick.records import hdf5, run_folder, sample, segment_file, special
from yardstick.sweeps import results


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("whole"), rows=6, choices=2)


def changed(whole, folder, change, name="run.h5"):
    """A copy of a run of which one file is changed."""
    run = shutil.copytree(whole, folder / "run")
    with h5py.File(run / "segments/000" / name, "a") as f:
        change(f)
    return run


def group(name):
    return lambda f: (f.__delitem__(name), f.create_group(name))


def linked(name, link):
    return lambda f: (f.__delitem__(name), f.__setitem__(name, link))


def external(f):
    del f["loss"]
    f.create_dataset("loss", (6,), "f8", external=[("/dev/zero", 0, 48)])


def virtual(f):
    del f["loss"]
    layout = h5py.VirtualLayout((6,), "f8")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (6,))
    f.create_virtual_dataset("loss", layout)


def many(f):
    for i in range(hdf5.MOST_NAMES):
        f.create_group(f"g{i}")


RUN = {
    "soft link": (linked("loss", h5py.SoftLink("/tokens")), "loss lies outside the file (a link)"),
    "external link": (linked("loss", h5py.ExternalLink("other.h5", "/loss")), "loss lies outside the file (a link)"),
    "external data": (external, "loss lies outside the file"), "virtual data": (virtual, "loss lies outside the file"),
    "no shape": (replaced("loss", lambda d: h5py.Empty("f8")), "loss has no shape"),
    "a group": (group("margin"), "margin is no table of values"),
    "values named like a dimension": (lambda f: (f.__delitem__("row"), f.create_dataset("row", data=np.zeros(6))), "row is no dimension"),
    "another rank": (replaced("max_vio", lambda d: d[:, 0]), "max_vio has 1 dimensions, not 2"),
    "a type that no number has": (replaced("loss", lambda d: np.zeros(6, complex)), "loss is of type complex128, not float64"),
    "records": (replaced("loss", lambda d: np.zeros(6, [("a", "f8")])), "loss is of type [('a', '<f8')], not float64"),
    "texts": (replaced("step", lambda d: np.full(6, b"1", "S4")), "step is of type |S4, not int64"),
    "floats for counts": (replaced("assigned", lambda d: d[()] * 1.0), "assigned is of type float64, not int64"),
    "other experts": (replaced("kept", lambda d: d[..., :3]), "another variable"),
    "a block twice": (replaced("block", lambda d: d[()] * 0 + 3), "block holds a block twice"),
    "more kept than assigned": (replaced("kept", lambda d: d[()] + 1), "kept holds more than assigned"),
    "a load beyond any": (replaced("assigned", lambda d: d[()] + (1 << 40)), "assigned holds more than 1,099,511,627,776 choices"),
    "a count beyond a double": (replaced("tokens", lambda d: d[()] + (1 << 53)), "tokens holds 9007199254"),
    "no loads": (lambda f: f.__delitem__("assigned"), "has no assigned, though its model has experts"),
    "no top_k": (lambda f: f.attrs.__delitem__("top_k"), "attribute top_k is not from 1 to 4"),
    "top_k of 0": (lambda f: f.attrs.__setitem__("top_k", 0), "attribute top_k is not from 1 to 4"),
    "steps from 0": (replaced("step", lambda d: d[()] - 1), "step does not ascend from 1 on"),
    "a step twice": (replaced("step", lambda d: np.array([1, 2, 2, 3, 4, 5])), "step does not ascend from 1 on"),
    "a number as text": (lambda f: f.attrs.__setitem__("segment", "0"), "attribute segment is no whole number"),
    "half a rank": (lambda f: f.attrs.__setitem__("ranks", 1.5), "attribute ranks is no whole number"),
    "too large a number": (lambda f: f.attrs.__setitem__("step_tokens", 1 << 60), "attribute step_tokens is no whole number"),
    "a text as numbers": (lambda f: f.attrs.__setitem__("commit", np.zeros(3)), "attribute commit is no text"),
    "too many members": (many, "members")}


@pytest.mark.parametrize("change,said", RUN.values(), ids=RUN)
def test_a_run_file_that_breaks_the_schema(whole, tmp_path, change, said):
    run = changed(whole, tmp_path, change)
    with pytest.raises(RecordError) as error:
        yardstick.open(run)
    assert said in str(error.value) and "run.h5: " in str(error.value) and "run `switchyard verify`" in str(error.value)
    assert error.value.code == 4 and main(["report", str(run)]) == 4


EVALUATION = {
    "choices of no layer": (replaced("expert", lambda d: d[()][:, :, :0]), "expert has no layers or choices"),
    "experts beyond any": (replaced("expert", lambda d: d[()].astype("i4") + (1 << 15)), "expert holds"),
    "no tokens": (lambda f: [replaced(n, lambda d: d[()][:0])(f) for n in ("token", "next", "position", "document", "domain")]
                  and [replaced(n, lambda d: d[()][:, :0])(f) for n in ("predicted", "loss", "expert")]
                  and (f.__delitem__("sample"), f.create_dataset("sample", (0,), "i4"), f["sample"].make_scale("sample")),
                  "token holds no tokens"),
    "an evaluation of step 0": (replaced("step", lambda d: d[()] * 0), "step does not ascend from 1 on"),
    "a domain beyond the names": (replaced("domain", lambda d: d[()] * 0 + 2), "domain holds 2 to 2"),
    "fewer of one column": (replaced("domain", lambda d: d[()][:-1]), "another variable"),
    "a vocabulary of numbers": (replaced("token_text", lambda d: np.zeros(8)), "token_text is of type float64, not text16")}


@pytest.mark.parametrize("change,said", EVALUATION.values(), ids=EVALUATION)
def test_an_evaluation_that_breaks_the_schema_is_left_out(whole, tmp_path, change, said):
    with pytest.warns(yardstick.RecordWarning, match="Segment 000: evaluation.h5 is left out") as told:
        assert run_folder.open_evaluation(changed(whole, tmp_path, change, "evaluation.h5")) is None
    assert said in str(told[0].message)


def test_a_file_of_another_kind_is_named(tmp_path):
    run = write_run(tmp_path)
    (run / "segments/000/run.h5").write_bytes((run / "segments/000/evaluation.h5").read_bytes())
    with pytest.raises(SchemaError, match="schema 'switchyard-evaluation', expected 'switchyard-run'"):
        yardstick.open(run)


def test_a_row_that_has_gone_is_missed(tmp_path):
    path = write_run(tmp_path, evaluations=2) / "segments/000/run.h5"
    assert int(segment_file.row(path, "switchyard-run", "evaluation", 1)["evaluation_step"]) == 40
    with pytest.raises(NotWhole, match="has 2 evaluation, fewer than before"):
        segment_file.row(path, "switchyard-run", "evaluation", 2)


def test_samples_that_no_layer_can_have():
    logged = log()
    with pytest.raises(RecordError, match="layer 0: a token has 0 of the layer's 7 experts"):
        sample.layer_of(logged.assign(expert=logged["expert"] * 0 - 1), 0)
    with pytest.raises(RecordError, match="layer 1: a token has 2 of the layer's 1 experts"):
        sample.layer_of(logged.assign(experts=("layer", [7, 1])), 1)
    with pytest.raises(RecordError, match="expert ids -1 to"):  # only the first token says how many choices there are
        sample.layer_of(logged.assign(expert=logged["expert"].where(logged["sample"] != 9, -1)), 0)
    with pytest.raises(RecordError, match="no position"):
        sample.sequences(logged.drop_vars("position"))
    with pytest.raises(RecordError, match="token id 11 is beyond the vocabulary of 11"):
        special.class_labels(logged.isel(vocabulary=slice(11)))


def test_sequences_of_training_tokens_end_where_their_number_changes():
    logged = log().assign(position=("sample", np.arange(400)), sequence=("sample", np.arange(400) // 30))
    assert np.bincount(sample.sequences(logged)).tolist() == [30] * 13 + [10]


@pytest.mark.parametrize("changes,why", [
    (dict(layers=0), "the model is dense"),
    (dict(evaluations=0, config="train:\n  evaluate_every: 0\n"), "was recorded (train.evaluate_every: 0)"),
    (dict(evaluations=0, config="train:\n  evaluate_every: 50\n"), "was recorded yet (train.evaluate_every: 50)"),
    (dict(evaluations=0), "no held-out routing was recorded"), ({}, None)])
def test_why_there_is_no_routing(tmp_path, changes, why):
    run = write_run(tmp_path, **changes)
    found = special.without_routing(yardstick.open(run), run_folder.open_evaluation(run))
    assert (found is None) == (why is None) and (why is None or why in found)


def test_why_a_routing_is_not_one_table(tmp_path):
    run, evaluation = yardstick.open(write_run(tmp_path)), run_folder.open_evaluation(tmp_path)
    assert special.without_routing(run, None) == "its held-out routing (evaluation.h5) cannot be read"
    assert special.without_routing(run, evaluation.drop_vars(["token", "expert"])) == "its evaluation.h5 has no expert, token"
    differing = evaluation.drop_vars("token").assign_attrs(left_out=["token"])
    assert special.without_routing(run, differing) == "its segments differ in token: their held-out routing is not one table"


CELLS = {"num_experts": [0, -1, 1.5, 2e18, np.inf], "k": [0, 1.5], "step": [0, -5, 1.5], "seed": [0.5, -1e17], "tokens": [0, -1, np.nan],
         "dense_parameter_count": [0, np.inf], "total_parameter_count": [-1, 2e18], "loss_validation": [-1, 0]}


@pytest.mark.parametrize("name", CELLS)
def test_a_result_that_cannot_be_is_named_with_its_row(tmp_path, name):
    for wrong in CELLS[name]:
        table = frame(seeds=(1,)).astype({name: float})
        table.loc[3, name] = wrong
        table.to_csv(tmp_path / "r.csv", index=False)
        with pytest.raises(RecordError, match=rf"r.csv: {name} is .* in row 4, which it cannot be; give results.h5"):
            results.read(tmp_path / "r.csv")
    assert main(["saturation", str(tmp_path / "r.csv")]) == 4


def test_seeds_below_0_and_rows_without_a_loss_are_no_fault(tmp_path):
    table = frame(seeds=(-1, 2))
    table.loc[[1, 5], "loss_validation"] = [np.nan, np.inf]
    table.to_csv(tmp_path / "r.csv", index=False)
    assert len(results.read(tmp_path / "r.csv")) == len(table) - 2
    table.assign(loss_validation=np.nan).to_csv(tmp_path / "r.csv", index=False)
    with pytest.raises(SchemaError, match="no evaluation of a finished run with a finite loss; wait"):
        results.read(tmp_path / "r.csv")


def attributes(**values):
    return lambda f: f.attrs.update(values)


TASKS = attributes(tasks='["tasks/0"]')
RESULTS = {
    "tasks above the sweep": (attributes(tasks='["../other"]'), "the run folder '../other' lies outside the sweep's"),
    "tasks elsewhere": (attributes(tasks='["/etc"]'), "the run folder '/etc' lies outside"),
    "no names": (attributes(tasks="[1]"), "attribute tasks is no list of names"),
    "runs of numbers": (attributes(runs='[{"run": 1}]'), "attribute runs is no list of runs"),
    "no runs": (attributes(runs="{"), "attribute runs is no list of runs"),
    "runs without a folder": (attributes(runs='[{"id": "x"}]'), "attribute runs is no list of runs"),
    "a number for runs": (attributes(runs="7"), "attribute runs is no list of runs"),
    "a task beyond": (lambda f: (TASKS(f), f.__setitem__("task", np.ones(f["seed"].size, int))), "task names none of the 1 run folders"),
    "a task below 0": (lambda f: (TASKS(f), f.__setitem__("task", np.full(f["seed"].size, -1))), "task names none of the 1 run folders"),
    "halves of tasks": (lambda f: (TASKS(f), f.__setitem__("task", np.full(f["seed"].size, 0.5))), "task names none of the 1 run folders"),
    "a column of truth": (replaced("seed", lambda d: d[()] > 1), "seed: not a column of numbers or texts"),
    "a column that is a group": (group("seed"), "seed: not a column"),
    "a table": (replaced("k", lambda d: np.ones((d.size, 2))), "k: not a column"),
    "blocks in one": (replaced("block_loss", lambda d: d[:, 0]), "block_loss: not a column"),
    "too many blocks": (replaced("block_loss", lambda d: np.ones((d.shape[0], (1 << 16) + 1), "f4")), "block_loss has 65,537 blocks")}


@pytest.mark.parametrize("change,said", RESULTS.values(), ids=RESULTS)
def test_a_results_file_that_breaks_the_schema(tmp_path, change, said):
    write_hdf5(tmp_path / "results.h5", frame(seeds=(1,)), np.ones((16, 2)))
    with h5py.File(tmp_path / "results.h5", "a") as f:
        change(f)
    with pytest.raises(RecordError) as error:
        results.read(tmp_path / "results.h5")
    assert said in str(error.value) and str(error.value).startswith(f"{tmp_path / 'results.h5'}: ")
    assert main(["saturation", str(tmp_path / "results.h5")]) == 4


def test_rows_know_their_folders_and_the_shortest_column_ends_the_table(tmp_path):
    write_hdf5(tmp_path / "results.h5", frame(seeds=(1,)), np.ones((16, 2)))
    with h5py.File(tmp_path / "results.h5", "a") as f:
        f.attrs["tasks"] = json.dumps(["tasks/b", "tasks/a"])
        f["task"] = np.arange(11) % 2
    found = results.read(tmp_path / "results.h5")
    assert len(found) == 11 and found[results.FOLDER].tolist() == (["tasks/b", "tasks/a"] * 6)[:11]


def test_runs_without_a_common_evaluation_are_refused(tmp_path):
    table = frame(seeds=(1,), experts=(1, 2, 4))
    table.loc[table["num_experts"] == 4, "step"] += 1
    table.to_csv(tmp_path / "r.csv", index=False)
    with pytest.raises(SchemaError, match="k = 1.*no step in common"):
        results.tables(results.read(tmp_path / "r.csv"))


def test_blocks_that_some_runs_lack_are_left_out(tmp_path):
    table = frame(seeds=(1, 2), experts=(1, 2, 4), steps=(50,))
    blocks = pd.DataFrame(np.arange(18.0).reshape(6, 3), columns=[f"block_loss_{i}" for i in range(3)])
    blocks.loc[4, "block_loss_1"] = np.nan
    pd.concat([table, blocks], axis=1).to_csv(tmp_path / "r.csv", index=False)
    (made,) = results.tables(results.read(tmp_path / "r.csv"))
    assert made.losses.shape == (2, 3, 1) and made.lacks == ["Losses of blocks are left out: some runs lack them."]
    assert made.losses.ravel() == pytest.approx(table["loss_validation"].values)
