"""Tables of many runs, and `yardstick saturation` as a user calls it."""
import json
import math

import h5py
import numpy as np
import pandas as pd
import pytest

from yardstick.verdicts import acceptance
from yardstick.drawing import figure_file
from yardstick.law import curves, saturation
from yardstick.sweeps import results, sentences
from yardstick.cli import main
from yardstick.base.faults import SchemaError
from yardstick.drawing.figure_file import Run


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr("yardstick.law.saturation.DRAWS", 100)


def frame(seeds=(1, 2), experts=(1, 2, 4, 8, 16, 32, 64, 128), steps=(50, 100), **columns):
    rows = [dict(num_experts=e, k=1, seed=s, step=t, tokens=t * 1000,
                 loss_validation=4 * e**-0.05 + 20 / t + 0.001 * s + 1e-4 * ((e * 7 + s * 3) % 5),
                 dense_parameter_count=5e4, total_parameter_count=1e5 * e, router_type="softmax", loss_train=3.9 * e**-0.06 + 0.001 * s,
                 seconds_per_step=(1 + 0.001 * e) * (1 if (s, t) == (1, 50) else 2),
                 peak_bytes=5e6 + 1.62e6 * e + 1000 * s - 1e6 * (t == 50)) for s in seeds for e in experts for t in steps]
    return pd.DataFrame(rows).assign(**columns)


def write_hdf5(path, table, blocks):
    with h5py.File(path, "w") as f:
        for name in table:
            f[name] = np.array(table[name].tolist(), "S16") if name == "router_type" else table[name].values
        f["block_loss"] = blocks
        f.create_dataset("row", (len(table),), "i4")
        f["row"].make_scale("row")


def test_csv_and_hdf5_say_the_same(tmp_path):
    table = frame()
    table.to_csv(tmp_path / "r.csv", index=False)
    blocks = table["loss_validation"].values[:, None] + 0.5 + np.random.default_rng(1).normal(0, 0.1, 16)
    write_hdf5(tmp_path / "results.h5", table, blocks)
    (plain,), (rich,) = (results.tables(results.read(tmp_path / n)) for n in ("r.csv", "results.h5"))
    assert plain.experts.tolist() == rich.experts.tolist() == [1, 2, 4, 8, 16, 32, 64, 128]
    assert plain.losses.shape == (2, 8, 1) and rich.losses.shape == (2, 8, 16)
    # blocks are part of the held-out text: they give the spread, the whole text the mean
    assert rich.losses.mean(2) == pytest.approx(plain.losses[:, :, 0])
    assert rich.router == "softmax" and rich.n == 5e4 and rich.tokens == 1e5 and rich.parameters[-1] == 128e5 and rich.lacks == []
    assert plain.steps.tolist() == [50, 100] and plain.curves.shape == (8, 2)


def test_another_programs_record_is_refused(tmp_path):
    write_hdf5(tmp_path / "results.h5", frame(), np.ones((len(frame()), 2)))
    for attributes, complaint in ((dict(schema="switchyard-run", schema_version=1), "expected 'switchyard-results'"),
                                  (dict(schema="switchyard-results", schema_version=9), "version 9")):
        with h5py.File(tmp_path / "results.h5", "a") as f:
            f.attrs.update(attributes)
        with pytest.raises(SchemaError, match=complaint):
            results.read(tmp_path / "results.h5")
    with h5py.File(tmp_path / "results.h5", "a") as f:
        f.attrs["schema_version"] = 1
    assert len(results.read(tmp_path / "results.h5")) == len(frame())


def write_csv(path, table):
    table.to_csv(path / "r.csv", index=False)
    return results.tables(results.read(path / "r.csv"))


def test_unfinished_runs_are_left_out_and_named(tmp_path):
    table = frame(seeds=(1, 2, 3))
    table = table[~((table.seed == 2) & (table.num_experts == 8) & (table.step == 100)) & ~((table.seed == 3) & (table.num_experts > 4))]
    (made,) = write_csv(tmp_path, table)
    assert made.seeds == [1] and len(made.experts) == 8
    assert made.lacks == ["E = 8, seed 2 is left out: it ended at step 50 of 100.", "Seed 2 is left out: it lacks E = 8.",
                          "Seed 3 is left out: it lacks E = 8, 16, 32, 64, 128."]


def test_the_dense_run_belongs_to_every_curve(tmp_path):
    dense, top1, top2 = frame(experts=(1,)), frame(experts=(2, 4, 8)), frame(experts=(2, 4, 8), k=2)
    made = write_csv(tmp_path, pd.concat([dense.assign(router_type="Dense"), top1, top2]))
    assert [t.experts.tolist() for t in made] == [[1, 2, 4, 8]] * 2 and "k = 1" in made[0].label and "k = 2" in made[1].label
    assert made[0].router == "softmax"


def test_arms_are_curves_of_their_own(tmp_path):
    made = write_csv(tmp_path, pd.concat([frame(arm="a"), frame(arm="b")]))
    assert ["arm = a" in made[0].label, "arm = b" in made[1].label] == [True, True]


def test_two_runs_of_one_setting_are_refused(tmp_path):
    with pytest.raises(SchemaError, match="E = 1, seed 1: two rows for step 50"):
        write_csv(tmp_path, pd.concat([frame(), frame()]))


def test_wrong_files_say_so(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("num_experts,k\n1,1\n")
    (tmp_path / "b.h5").write_bytes(b"no HDF5")
    frame(experts=(1, 2)).to_csv(tmp_path / "c.csv", index=False)
    for name, complaint in (("none.csv", "no such file"), ("a.csv", "no column seed"), ("b.h5", "cannot be read"),
                            ("c.csv", "no curve over the number of experts")):
        assert main(["saturation", str(tmp_path / name)]) == (4 if name == "b.h5" else 2)
        assert complaint in capsys.readouterr().err


def test_the_command_writes_what_it_says(tmp_path, capsys):
    frame(seeds=(1, 2, 3)).to_csv(tmp_path / "r.csv", index=False)
    assert main(["saturation", str(tmp_path / "r.csv"), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "gain per doubling" in text and "3-seed" in text and "E_max" in text
    claims = json.loads((tmp_path / "out/acceptance.json").read_text())
    assert [c["status"] in acceptance.STATUSES for c in claims] == [True] * 5 and claims[2]["status"] == "not testable here"
    assert "largest E is 128" in claims[2]["measured"]["why"] and [c["key"] for c in claims][3:] == ["memory-linear", "speed-holds"]
    assert [c["status"] for c in claims][3:] == ["reproduced"] * 2 and claims[3]["measured"]["computed"] == pytest.approx(1.6e6)
    caption = figure_file.read_origin(tmp_path / "out/curve-00.svg").caption
    assert "N = 50,000, D = 100,000 tokens, D/N = 2, 781 tokens an expert at E = 128, 3 seeds" in caption
    assert "--published was not given" in caption
    assert "gap that widens" in figure_file.read_origin(tmp_path / "out/curve-00-gap.png").caption
    points = pd.read_csv(tmp_path / "out/curve-00-points.csv").set_index("name")
    assert points.loc["E_half", "predicted_low"] == pytest.approx(17.8 * 2**0.354, rel=1e-4)
    assert list(points.index) == ["E_half", "E_90", "E_max"]
    assert claims[0]["command"].startswith("yardstick saturation ") and claims[0]["commit"]
    assert all((tmp_path / "out" / f).stat().st_size for f in claims[0]["files"])
    table = pd.read_csv(tmp_path / "out/curve-00.csv")
    assert table["num_experts"].tolist() == [2**i for i in range(8)] and (table["low"] <= table["gain_per_doubling"]).iloc[:-1].all()
    assert table["seconds_per_step"][0] == 1.001, "the smallest of evaluations and seeds"
    assert table["peak_bytes"][0] == pytest.approx(6.622e6, rel=1e-6), "the largest so far, mean of the seeds"
    record = json.loads((tmp_path / "out/saturation.json").read_text())["curves"][0]
    assert "Held-out less training loss" in text and record["seeds"] == 3 and record["n"] == 5e4 and record["sentences"][0] in text


def test_older_tables_lack_columns_and_say_so(tmp_path):
    table = frame().drop(columns=["seconds_per_step", "peak_bytes", "loss_train"])
    (made,) = write_csv(tmp_path, table)
    assert [next(n for n in results.OPTIONAL if n in lack) for lack in made.lacks] == list(results.OPTIONAL)
    assert main(["saturation", str(tmp_path / "r.csv"), "--out", str(tmp_path / "out")]) == 0
    found = {c["key"]: c for c in json.loads((tmp_path / "out/acceptance.json").read_text())}
    assert found["memory-linear"]["status"] == found["speed-holds"]["status"] == "not testable here"
    assert "lack peak_bytes" in found["memory-linear"]["measured"]["why"]
    assert (tmp_path / "out/curve-00.svg").exists() and not (tmp_path / "out/curve-00-gap.svg").exists()


def test_published_gains_of_the_nearest_checkpoint(tmp_path):
    rows = [dict(router=r, size=size, step=10, tokens_per_parameter=ratio, num_experts=e, gain=e * ratio)
            for r in ("HASH", "RL-R") for size, ratio in (("15M", 3.0), ("1.3B", 1.7))
            for e in (1, 2)]
    pd.DataFrame(rows).to_csv(tmp_path / "gains.csv", index=False)
    found = curves.nearest_gains(tmp_path, 2.0)
    read = [(label, e.tolist(), g.tolist()) for label, e, g in found]
    assert read == [(f"{r} 1.3B, D/N = 1.7", [1, 2], [1.7, 3.4]) for r in ("HASH", "RL-R")]
    frame().to_csv(tmp_path / "r.csv", index=False)
    assert main(["saturation", str(tmp_path / "r.csv"), "--out", str(tmp_path), "--published", str(tmp_path)]) == 0
    origin = figure_file.read_origin(tmp_path / "curve-00.png")
    assert "HASH 1.3B, D/N = 1.7" in origin.caption and str(tmp_path / "gains.csv") in origin.inputs


def test_published_gains_from_elsewhere_say_so(tmp_path, capsys):
    frame().to_csv(tmp_path / "r.csv", index=False)
    for text in (None, "a,b\n1,2\n"):
        if text:
            (tmp_path / "gains.csv").write_text(text)
        assert main(["saturation", str(tmp_path / "r.csv"), "--published", str(tmp_path)]) == 2
        assert "give the folder that `yardstick law CURVES --out` wrote" in capsys.readouterr().err


def test_the_figure_knows_the_runs(tmp_path):
    write_hdf5(tmp_path / "results.h5", frame(), np.ones((len(frame()), 2)))
    assert results.runs(tmp_path / "results.h5") == results.runs("r.csv") == []
    run = dict(run="tasks/E1", id="0" * 12, commit="abc", command="switchyard train")
    for attributes, expected in ((dict(tasks='["tasks/E1"]'), Run("tasks/E1")),
                                 (dict(runs=json.dumps([run | dict(processor="x")])), Run(**run))):
        with h5py.File(tmp_path / "results.h5", "a") as f:
            f.attrs.update(attributes)
        assert results.runs(tmp_path / "results.h5") == [expected]
    assert main(["saturation", str(tmp_path / "results.h5"), "--out", str(tmp_path)]) == 0
    origin = figure_file.read_origin(tmp_path / "curve-00.svg")
    assert origin.runs == [Run(**run)] and origin.command.startswith("yardstick saturation")
    assert list(origin.inputs) == [str(tmp_path / "results.h5")]


RUNS = dict(A=Run("tasks/A", commit="of A", backend="OpenMP"), B=Run("tasks/B", commit="of B", backend="Cuda"))


def test_figures_and_entries_name_the_runs_of_their_own_curve(tmp_path):
    table = pd.concat([frame(arm="a"), frame(arm="b")])
    write_hdf5(tmp_path / "results.h5", table.drop(columns="arm"), np.ones((len(table), 2)))
    with h5py.File(tmp_path / "results.h5", "a") as f:
        f["arm"], f["task"] = table["arm"].values.astype("S1"), np.repeat([2, 0], len(frame()))
        f.attrs.update(tasks='["tasks/B", "tasks/waiting", "tasks/A"]', runs=json.dumps([RUNS[n]._asdict() for n in "BA"]))
    assert main(["saturation", str(tmp_path / "results.h5"), "--out", str(tmp_path)]) == 0
    assert [figure_file.read_origin(tmp_path / f"curve-0{i}.svg").runs for i in (0, 1)] == [[RUNS["A"]], [RUNS["B"]]]
    made = json.loads((tmp_path / "acceptance.json").read_text())
    assert [e["runs_commits"] for e in made] == [["of A"]] * 5 + [["of B"]] * 5
    memory = [e for e in made if e["key"] == "memory-linear"]
    assert [e["status"] for e in memory] == ["reproduced", "not testable here"], "the runs of B alone were made on a GPU"


def test_experts_that_do_not_help_have_no_e_90(tmp_path, capsys):
    """One doubling gains and two lose more: the table, the record and the sentences say the same of E_90 and of a fall."""
    table = frame(seeds=(1, 2, 3), experts=(1, 2, 4, 8))
    rising = table["num_experts"].map({1: 4.0, 2: 3.98, 4: 4.01, 8: 4.03})
    write_csv(tmp_path, table.assign(loss_validation=rising + 1e-4 * table["seed"] * table["num_experts"]))
    assert main(["saturation", str(tmp_path / "r.csv"), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "more experts gave no measurable gain, -0.0314 nat (95 % interval" in text
    assert "so there is no E_90" in text and "E_90 =" not in text
    assert "which lies below the greatest; whether it diminishes is not judged" in text and "diminishing is not resolved" not in text
    assert pd.read_csv(tmp_path / "out/curve-00-points.csv").set_index("name").loc["E_90", ["value", "low", "high"]].isna().all()
    assert json.loads((tmp_path / "out/saturation.json").read_text())["curves"][0]["e_90"]["value"] is None
    why = json.loads((tmp_path / "out/acceptance.json").read_text())[1]["measured"]["why"]
    assert why == "the slope over E ≥ 8: it needs two doublings from E = 8 on, the curve has 0"


def test_curves_that_gain_nothing_have_no_e_half(tmp_path):
    (table,) = write_csv(tmp_path, frame(loss_validation=4.0))
    s = saturation.summarise(table, draws=300)
    assert math.isnan(s.e_half.value) and math.isnan(s.e_90.value) and "there is no E_half and no E_90" in " ".join(sentences.sentences(s))
    assert sentences.gains_diminish(s)[1]["why"] == "Without such a gain there is no E_half and no E_90."


def test_one_seed_without_blocks_has_no_interval(tmp_path):
    (table,) = write_csv(tmp_path, frame(seeds=(1,)))
    s = saturation.summarise(table, draws=300)
    assert math.isnan(s.e_half.low) and s.flat_from is None and math.isfinite(s.comparison.e_max[1])
    assert "no interval" in " ".join(sentences.sentences(s))
