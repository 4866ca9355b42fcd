"""What is asked of the held-out routing, against loops over evaluation.h5 as h5py reads it."""
from collections import Counter

import h5py
import numpy as np
import pytest
from fixture import WORDS, write_run
from scipy.stats import binomtest

import yardstick

STEPS, BLOCKS, EXPERTS, CHOICES, SAMPLES = [13, 26, 40], [1, 3], 4, 2, 4000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("held-out") / "run", evaluations=3, choices=CHOICES)


@pytest.fixture(scope="module")
def run(folder):
    return yardstick.open(folder)


@pytest.fixture(scope="module")
def file(folder):
    with h5py.File(folder / "segments/000/evaluation.h5") as f:
        return {name: f[name][()] for name in ("token", "expert", "domain", "document")}


def test_the_tokens_of_an_expert(run, file):
    found = run.tokens_of(2, layer=3, step=26)
    rows = file["expert"][1, :, 1].tolist()
    times = Counter(file["token"].tolist())
    given = Counter(t for t, chosen in zip(file["token"].tolist(), rows) if 2 in chosen)
    chance = sum(given.values()) / SAMPLES
    assert len(found) == len(given) == len(WORDS)
    for row in found.itertuples():
        low = binomtest(given[row.token], times[row.token]).proportion_ci(0.95, "wilson").low
        assert (row.given, row.occurrences, row.text) == (given[row.token], times[row.token], WORDS[row.token])
        assert (row.share, row.lift) == pytest.approx((given[row.token] / times[row.token], row.share / chance))
        assert row.share_low == pytest.approx(low)
    assert found["share_low"].is_monotonic_decreasing
    assert set(run.tokens_of(2, 3, 26, least=500)["token"]) == {t for t in given if times[t] >= 500} != set(given)
    assert run.tokens_of(0, 1)["text"].tolist() == ["7", "42"]  # what the fixture plants: the digits, and nothing else


def test_one_token_through_training(run, file):
    found = run.trace_token("The")
    at = np.nonzero(file["token"] == WORDS.index("The"))[0]
    assert len(found) == len(STEPS) * len(BLOCKS) * EXPERTS
    for row in found.itertuples():
        chosen = file["expert"][STEPS.index(row.step), at, BLOCKS.index(row.layer)]
        assert row.given == sum(row.expert in c for c in chosen.tolist()) and row.occurrences == len(at)
        assert row.share == pytest.approx(row.given / len(at))
    assert found.groupby(["step", "layer"])["share"].sum().tolist() == pytest.approx([CHOICES] * 6)
    assert set(run.trace_token("7", layer=1).query("expert == 0")["share"]) == {1.0}


def test_how_far_routing_is_what_it_will_be(run, file):
    found = run.saturation(13, 26)
    for row in found.itertuples():
        a, b = (file["expert"][i, :, BLOCKS.index(row.layer)].tolist() for i in (0, 1))
        assert row.value == pytest.approx(np.mean([len(set(x) & set(y)) / CHOICES for x, y in zip(a, b)]))
        assert (row.step, row.against, row.chance, row.n) == (13, 26, CHOICES / EXPERTS, SAMPLES)
        shuffled = np.random.default_rng(0).permutation(SAMPLES)
        drawn = np.mean([len(set(x) & set(b[j])) / CHOICES for x, j in zip(a, shuffled)])
        assert abs(drawn - row.null_mean) < 5 * row.null_sd
    every = run.saturation()
    assert every["step"].tolist() == [13, 13, 26, 26, 40, 40] and every["value"].tolist()[-2:] == [1, 1] and set(every["against"]) == {40}


def test_domains_of_experts(run, file):
    found = run.domains(layer=1, step=13)
    chosen = file["expert"][0, :, 0]
    for row in found.itertuples():
        domain = ["documentation", "python"].index(row.domain)
        own = sum(row.expert in c for c, d in zip(chosen.tolist(), file["domain"]) if d == domain)
        assert row.given == own and row.layer == 1
        assert row.share == pytest.approx(own / (chosen == row.expert).sum())
        assert row.chance == pytest.approx((file["domain"] == domain).mean())
        assert row.lift == pytest.approx(row.share / row.chance)
    assert len(found) == EXPERTS * 2 and len(run.domains()) == EXPERTS * 4


def test_experts_chosen_together(run, file):
    found = run.coactivation(layer=3).query("expert != 0 and other != 0")
    chosen = [set(c) for c in file["expert"][-1, :, 1].tolist()]
    for row in found.itertuples():
        own = [c for c in chosen if row.expert in c]
        assert row.value == pytest.approx(np.mean([row.other in c for c in own])) and row.n == len(own)
        assert row.chance == pytest.approx((CHOICES - 1) / (EXPERTS - 1))
    assert len(found) == 6 and (found["expert"] != found["other"]).all()


def test_what_is_selected_of_a_run_has_its_layers(run):
    one = run.sel(layer=3)
    assert one.tokens_of(2, 3).equals(run.tokens_of(2, 3)) and set(one.trace_token("7")["layer"]) == {3}
    with pytest.raises(yardstick.SchemaError, match="block 1 has no experts; there are the blocks 3"):
        one.tokens_of(2, 1)


ASKED = [(lambda r: r.tokens_of(4, 1), "block 1 has no expert 4; it has 4, from 0"), (lambda r: r.tokens_of(-1, 1), "no expert -1"),
         (lambda r: r.tokens_of(1, 2), "block 2 has no experts; there are the blocks 1, 3"),
         (lambda r: r.saturation(20), "no evaluation at step 20; there are 3, the nearest at step 26"),
         (lambda r: r.trace_token("thee"), r"no token of the vocabulary is 'thee'; near it are \['the'\]")]


@pytest.mark.parametrize("ask,told", ASKED, ids=[told[:30] for _, told in ASKED])
def test_what_is_not_there_is_told(run, ask, told):
    with pytest.raises(yardstick.SchemaError, match=told):
        ask(run)


def test_runs_without_what_is_asked_for(tmp_path):
    with pytest.raises(yardstick.SchemaError, match="nothing to analyse: the model is dense"):
        yardstick.open(write_run(tmp_path / "dense", layers=0)).saturation()
    with pytest.raises(yardstick.SchemaError, match="nothing to analyse: no held-out routing was recorded"):
        yardstick.open(write_run(tmp_path / "none", evaluations=0)).saturation()
    one = yardstick.open(write_run(tmp_path / "one", domains=("all",)))
    with pytest.raises(yardstick.SchemaError, match="every token is given to one expert"):
        one.coactivation()
    with pytest.raises(yardstick.SchemaError, match="does not tell domains apart"):
        one.domains()
