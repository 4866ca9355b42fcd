"""The published curves: rows that an earlier, independent fit of the same file found. Skipped where the file is absent."""
import gzip
import itertools
import json
import os
import pathlib

import numpy as np
import pandas as pd
import pytest

from yardstick.drawing import figure_file
from yardstick.law import curves, law_report, laws, saturation
from yardstick.cli import main
from yardstick.base.faults import SchemaError

PATH = pathlib.Path(os.environ.get("SWITCHYARD_CURVES", "curves.csv.gz"))
published = pytest.mark.skipif(not PATH.is_file(),
                               reason=f"{PATH} is absent; set SWITCHYARD_CURVES to data/curves.csv.gz of {curves.SOURCE}")


@pytest.fixture(scope="module")
def frame():
    return curves.read(PATH)


@pytest.fixture(scope="module")
def ratios(frame):
    return {router: curves.ratio_law(curves.size_points(frame, router)) for router in curves.ROUTERS}


@published
@pytest.mark.parametrize("router,points", [("S-BASE", 53), ("RL-R", 54), ("HASH", 51)])
def test_refit_rows(frame, router, points):
    fit = curves.joint_fit(frame, router)
    assert len(fit.fitted) == points and curves.deviations(fit, router) == {}
    assert 0.0030 < np.sqrt(fit.sse / points) < 0.0034
    assert fit.values["e_start"] == pytest.approx(curves.EXPECTED[router]["e_start"], rel=0.02)


@published
def test_another_loss_misses_the_rows(frame):
    rows = curves.routed(frame, "S-BASE")
    fit = laws.fit_clark(rows["loss_c4"].values, rows["num_experts"].values, rows["dense_parameter_count"].values)
    assert {"a", "b", "d", "e_max"} <= curves.deviations(fit, "S-BASE").keys()


@published
def test_dense_law(frame):
    assert curves.dense_fit(frame) == pytest.approx((-0.0788, 1.0659), abs=2e-4)


@published
@pytest.mark.parametrize("router,size,expected", [
    ("S-BASE", "15M", ".050 .063 .064 .085 .074 .071 .065 .057 .013"), ("S-BASE", "1.3B", ".013 .042 .039 .033 .033 .026 .024 .016 .015"),
    ("RL-R", "370M", ".021 .048 .046 .046 .039 .032 .026 .023 .021"), ("HASH", "55M", ".020 .038 .051 .058 .061 .064 .058 .049 .043")])
def test_gain_of_each_doubling(frame, router, size, expected):
    experts, found = curves.gains(frame, router, size)
    assert experts.tolist() == [2**i for i in range(9)]
    assert found == pytest.approx(list(map(float, expected.split())), abs=0.0006)


@published
def test_steps_that_64_experts_save(frame):
    """docs/science.md, "Published figures behind the claims": from the largest to the smallest model, to the dense model's last loss."""
    found = {}
    for size in curves.SIZES:
        rows = frame[(frame["router_type"] == "S-Base") & (frame["num_experts"] == 64) & (frame["model_size_label"] == size)]
        steps, losses = rows.sort_values("step")[["step", "loss_validation"]].values.T
        dense = np.where(steps == steps[-1], curves.with_dense(frame, "S-BASE", size)[1][0], 99)  # of which only the last loss counts
        found[size] = saturation.speed_ups(steps, np.array([dense, losses]), np.array([1, 64]))[1]
    assert [found[size] for size in reversed(curves.SIZES)] == pytest.approx([2.77, 5.58, 9.84, 13.7, 16.5, 17.3], abs=0.05)


@published
def test_learned_routers_are_below_the_hash_at_every_number_of_experts(frame):
    """docs/science.md, "Hash routing"."""
    found = []
    for router, size in itertools.product(("S-BASE", "RL-R"), curves.SIZES):
        of = {name: curves.routed(frame, name, size=size).set_index("num_experts")["loss_validation"] for name in (router, "HASH")}
        found += list((of["HASH"] - of[router]).dropna())
    assert len(found) > 100 and (min(found), max(found)) == pytest.approx((0.0078, 0.0745), abs=1e-4)


# E_max of an earlier fit, on nodes e^0.25 apart
@published
@pytest.mark.parametrize("router,size,step,node",
                         [("S-BASE", "130M", 10000, 70), ("S-BASE", "130M", 249000, 245), ("S-BASE", "370M", 10000, 33),
                          ("S-BASE", "1.3B", 249000, 116), ("RL-R", "15M", 249000, 854), ("RL-R", "370M", 100000, 116),
                          ("HASH", "55M", 249000, 518), ("HASH", "1.3B", 249000, 191)])
def test_e_max_of_a_size(ratios, router, size, step, node):
    points = ratios[router].points.set_index(["size", "step"])
    assert abs(np.log(points.loc[(size, step), "e_max"] / node)) < 0.25


@published
@pytest.mark.parametrize("router,r_squared,free,predicted",
                         [("S-BASE", 0.83, (0.34, -0.36), (51, 76, 116, 205)), ("RL-R", 0.90, (0.33, -0.40), (70, 106, 167, 307)),
                          ("HASH", 0.81, (0.28, -0.33), (103, 145, 212, 349))])
def test_e_max_follows_tokens_per_parameter(ratios, router, r_squared, free, predicted):
    law = ratios[router]
    assert law.power == pytest.approx(curves.REGISTERED[router][1], abs=0.01)
    assert [curves.predict(law.constant, law.power, r) for r in (20, 60, 200, 1000)] == pytest.approx(predicted, rel=0.03)
    assert [curves.predict(*curves.REGISTERED[router], r) for r in (20, 60, 200, 1000)] == pytest.approx(predicted, rel=0.01)
    assert law.r_squared == pytest.approx(r_squared, abs=0.04) and law.free == pytest.approx(free, abs=0.02) and 1.2 < law.factor < 1.36
    low, high = curves.prediction_interval(law, 64)
    assert low < curves.predict(law.constant, law.power, 64) < high


@published
def test_one_exponent_holds_for_one_router_only(ratios):
    """What the registered law hides: with few tokens per parameter E_max grows faster, except for RL-R."""
    powers = {r: [curves.ratio_law(p).power for p in (law.points[law.points["ratio"] < 300], law.points[law.points["ratio"] >= 300])]
              for r, law in ratios.items()}
    assert powers["S-BASE"] == pytest.approx([0.60, 0.15], abs=0.02) and powers["HASH"] == pytest.approx([0.52, 0.19], abs=0.02)
    assert powers["RL-R"] == pytest.approx([0.43, 0.42], abs=0.02)


@published
def test_only_fits_on_the_edge_are_left_out(ratios):
    assert [len(law.points) for law in ratios.values()] == [53, 54, 53]


def test_a_missing_file_says_where_it_is_published(tmp_path):
    with pytest.raises(SchemaError, match="no such file.*scaling_laws_for_routing.*CC-BY"):
        curves.read(tmp_path / "curves.csv.gz")


@pytest.mark.parametrize("text,complaint",
                         [(b"a,b\n1,2\n", "no column hyper_id"), (b"\x1f\x8b broken", "cannot be read"), (b"", "cannot be read")])
def test_another_file_says_so(tmp_path, text, complaint):
    path = tmp_path / "x.csv.gz"
    path.write_bytes(text if text[:1] == b"\x1f" else gzip.compress(text))
    with pytest.raises(SchemaError, match=complaint):
        curves.read(path)


def test_the_last_row_of_a_run_is_the_last_with_a_loss(tmp_path):
    head = "hyper_id,step,loss_validation,num_experts,k,router_type,seed,routing_frequency,dense_parameter_count,model_size_label\n"
    rows = ("0,10000,3,2,1,Hash,1,0.5,1e7,15M\n0,20000,2.5,2,1,Hash,1,0.5,1e7,15M\n0,30000,,2,1,Hash,1,0.5,1e7,15M\n"
            "1,20000,2,2,2,Hash,1,0.5,1e7,15M\n2,20000,2,4,1,Hash,1,1.0,1e7,15M\n")
    (tmp_path / "c.csv").write_text(head + rows)
    frame = curves.read(tmp_path / "c.csv")
    assert frame["final"].tolist() == [False, True] and curves.routed(frame, "HASH")["loss_validation"].tolist() == [2.5]


@published
def test_the_command_prints_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("yardstick.law.saturation.DRAWS", 200)
    monkeypatch.setattr(curves, "CHECKPOINTS", [10000, 30000, curves.FINAL])  # for time
    assert main(["law", str(PATH), "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "Table 3" in text and "HASH within" in text and "OUTSIDE" not in text and "CC-BY" in text
    table = pd.read_csv(tmp_path / "out/table.csv")
    assert table["router"].tolist() == [r for r in curves.ROUTERS for _ in range(3)] and table["within"].dropna().astype(bool).all()
    (claim,) = json.loads((tmp_path / "out/acceptance.json").read_text())
    assert claim["status"] == "reproduced" and claim["measured"]["HASH"]["e_max"] == pytest.approx(458, rel=0.01)
    assert json.loads((tmp_path / "out/table.json").read_text())["table"][2]["points"] == 53
    assert all((tmp_path / "out" / f).stat().st_size > 10000 for f in ("law.svg", "law.png"))
    caption = figure_file.read_origin(tmp_path / "out/law.svg").caption
    for part in ("N = 17 M to 1.3 B active parameters, D = 129 B tokens, D/N = 99 to 7,834", "0.25 B tokens an expert at E = 512",
                 "one seed", "checkpoints of D = 5 to 129 B tokens, D/N = 11.9 to 7,834"):
        assert part in caption


@published
def test_a_fit_outside_the_tolerance_is_not_reproduced(frame, monkeypatch):
    monkeypatch.setitem(curves.EXPECTED, "RL-R", curves.EXPECTED["RL-R"] | dict(e_max=480.0))
    (claim,) = law_report.entries(law_report.refits(frame, 20))
    assert claim["status"] == "not reproduced"
    assert curves.deviations(curves.joint_fit(frame, "RL-R"), "RL-R").keys() == {"e_max"}


def test_a_fit_outside_the_tolerance_fails_the_command(monkeypatch, capsys):
    monkeypatch.setattr(law_report, "make", lambda *_: ("rows", False))
    assert main(["law", "curves.csv.gz"]) == 1 and capsys.readouterr().out == "rows\n"


def test_the_command_says_where_the_curves_are(tmp_path, capsys):
    assert main(["law", str(tmp_path / "none.csv.gz")]) == 2
    assert "scaling_laws_for_routing" in capsys.readouterr().err
