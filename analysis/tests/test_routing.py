"""The analyses of routing against plain loops on small random logs; in pieces of 37 tokens, so that pieces meet everywhere."""
import numpy as np
import pytest
import reference_routing as reference
import xarray as xr
from reference_routing import log

from yardstick import SchemaError
from yardstick.records import sample
from yardstick.routing import affinity, agreement, balance, context, nulls

LOGS = dict(k1=dict(top_k=1), k2=dict(top_k=2), k3=dict(top_k=3), different=dict(experts=(9, 2), top_k=3), unused=dict(unused=True),
            one_domain=dict(domains=("a",)), class_absent=dict(words=[0, 1, 4, 5, 6, 9]), one_class=dict(words=[0, 8, 9], top_k=1),
            one_evaluation=dict(evaluations=1))


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(sample, "CHUNK", 37)


@pytest.fixture(params=LOGS, scope="module")
def logged(request):
    return log(**LOGS[request.param])


def values(dataset, layer):
    return dataset["value"].isel(layer=layer).values


def test_saturation(logged):
    found = agreement.saturation(logged)
    for t in range(logged.sizes["evaluation"]):
        for i in range(2):
            assert found["value"].values[t, i] == pytest.approx(reference.saturation(logged, i, t))
    assert np.all(found["value"].values[-1] == 1) and found["step"].values.tolist() == logged["step"].values.tolist()


def test_persistence(logged):
    found = agreement.persistence(logged)
    if logged.sizes["evaluation"] == 1:
        assert found is None
        return
    assert found["step"].values.tolist() == logged["step"].values[1:].tolist()
    for t in range(1, logged.sizes["evaluation"]):
        for i in range(2):
            assert found["value"].values[t - 1, i] == pytest.approx(reference.saturation(logged, i, t, t - 1))
    ends = agreement.saturation(logged).isel(step=-2)
    for field in ("value", "null_mean", "null_sd", "chance"):
        assert found[field].values[-1] == pytest.approx(ends[field].values), "the last evaluation and the one before are one pair"


@pytest.mark.parametrize("adjacent", [False, True])
def test_coactivation(logged, adjacent):
    found = agreement.coactivation(logged, adjacent)
    if logged.sizes["choice"] == 1:
        assert found is None
        return
    for i in range(2):
        table, expected = values(found, i), reference.coactivation(logged, i, adjacent)
        for e, other in np.ndindex(table.shape):
            assert table[e, other] == pytest.approx(expected.get((e, other), np.nan), nan_ok=True)


def test_locality(logged):
    counts = context.within_documents(logged, 2)
    found = context.locality(counts)
    for i in range(2):
        first, overlap, pairs = reference.locality(logged, i)
        assert values(found["top1"], i) == pytest.approx(first) and values(found["any"], i) == pytest.approx(overlap)
        assert found["any"]["n"].values[i] == pairs == counts["pairs"]


def test_classes(logged):
    counts = context.within_documents(logged, 2)
    entropies, shared = context.class_entropy(counts), context.information(counts)
    for i in range(2):
        expected = reference.class_entropy(logged, i)
        for name, value in zip(entropies["label"].values, values(entropies, i)):
            assert value == pytest.approx(expected.get(str(name), np.nan), nan_ok=True)
        assert values(shared["nmi"], i) == pytest.approx(reference.nmi(logged, i))
        assert values(shared["nmi_excess"], i) == pytest.approx(reference.nmi(logged, i) - shared["nmi"]["null_mean"].values[i])


def test_sequences_stand_in_for_unknown_documents():
    unknown = log().assign(document=("sample", np.full(400, -1)))
    assert sample.documents(unknown)[0].max() == 7 and sample.documents(log().drop_vars("document"))[0].max() == 7
    half = log().assign(document=("sample", np.where(np.arange(400) < 200, -1, 5)))
    assert np.bincount(sample.documents(half)[0]).tolist() == [50, 50, 50, 50, 200]


def test_domains(logged):
    found = affinity.domains(logged, shuffles=3)
    for i in range(2):
        expected, predicted = reference.domain(logged, i), reference.domain_from_tokens(logged, i)
        assert {key: values(found["domain"], i)[key] for key in expected} == pytest.approx(expected)
        assert {key: values(found["domain_from_tokens"], i)[key] for key in predicted} == pytest.approx(predicted)
        loads = np.array(list(reference.domain(logged.assign(domain=0 * logged["domain"]), i).values()))[:, None]
        table = values(found["domain"], i)[:len(loads)]
        assert values(found["domain_spread"], i) == pytest.approx(np.sqrt(((table - loads) ** 2).mean()))
    beyond = found["domain"]["value"] - found["domain_from_other_documents"]["value"]
    assert np.allclose(found["domain_beyond_tokens"]["value"], beyond, equal_nan=True)
    assert found["domain"]["n"].values[0, 0].tolist() == np.bincount(logged["domain"].values).tolist()


def test_domains_from_other_documents():
    logged = log(words=[0, 1, 2, 3, 4])
    logged["token"][:20] = 11  # occurs in the first documents only
    document, fold = logged["document"].values, np.arange(400) % 2
    layer = sample.layer_of(logged, 0)
    fold = fold[:document.max() + 1]
    _, predicted = affinity.from_tokens(layer, logged["token"].values, document, fold)
    expected = reference.domain_from_tokens(logged, 0, fold)
    for (e, d), share in expected.items():
        member = (np.arange(len(fold)) % 3) == d
        assert predicted[member, e].sum() / np.isin(document, np.nonzero(member)[0]).sum() == pytest.approx(share)


def test_one_document_predicts_no_other():
    assert "domain_from_other_documents" not in affinity.domains(log().assign(document=("sample", np.zeros(400, int))), shuffles=2)


@pytest.mark.parametrize("variable,name", affinity.VARIABLES.items())
def test_vocabulary(logged, variable, name):
    mean, best = affinity.vocabulary(logged, variable, least=35, shuffles=2)
    for i in range(2):
        expected, highest, count = reference.vocabulary(logged, i, name, 35)
        assert values(mean, i) == pytest.approx(expected) and mean["n"].values[i] == count
        assert {e: values(best, i)[e] for e in highest} == pytest.approx(highest)
        assert np.isnan(np.delete(values(best, i), list(highest))).all()


def test_tokens_without_a_next_or_a_domain_are_left_out():
    logged, known = log(seed=2), np.arange(400) % 50 < 30
    unknown = logged.assign(next=("sample", np.where(known, logged["next"].values, -1)))
    expected = reference.vocabulary(logged.isel(sample=known), 0, "next", 10)
    mean, best = affinity.vocabulary(unknown, "next", shuffles=2)
    assert values(mean, 0) == pytest.approx(expected[0]) and {e: values(best, 0)[e] for e in expected[1]} == pytest.approx(expected[1])
    inside = logged["domain"].values < 2
    found = affinity.domains(logged.assign(domain=("sample", np.where(inside, logged["domain"].values, -1))), shuffles=3)["domain"]
    shares = reference.domain(logged.isel(sample=inside), 0)
    assert {key: values(found, 0)[key] for key in shares} == pytest.approx(shares) and np.isnan(values(found, 0)[:, 2]).all()


def test_no_token_occurs_often_enough():
    mean, best = affinity.vocabulary(log(), least=1000)
    assert np.isnan(mean["value"]).all() and np.isnan(best["value"]).all()


def test_evenness(logged):
    found = balance.held_out(logged)
    for i in range(2):
        loads = np.bincount(sum(reference.choices(logged, i), []), minlength=int(logged["experts"][i]))
        for name, value in reference.evenness(loads.tolist()).items():
            assert values(found[name], i) == pytest.approx(value)


def test_evenness_of_training_steps():
    assigned = np.random.default_rng(0).integers(50, 90, (120, 2, 7))
    assigned[:, 1, 5:] = 0
    run = xr.Dataset(dict(assigned=(("row", "layer", "expert"), assigned), experts=("layer", [7, 5])), coords=dict(layer=[1, 3]))
    found = balance.training(run, [2, 2])
    for i, count in enumerate((7, 5)):
        steps = [reference.evenness(row.tolist()) for row in assigned[20:, i, :count]]
        for name in steps[0]:
            assert values(found[f"{name}_of_a_step"], i) == pytest.approx(np.mean([s[name] for s in steps]))


def sampled(top_k):
    """A token sample whose drops depend on the class and the position."""
    rng, evaluation = np.random.default_rng(1), log(top_k=top_k)
    kept = rng.random((400, 2, top_k)) > (0.1 + 0.2 * (evaluation["token"].values == 4) + 0.002 * (np.arange(400) % 50))[:, None, None]
    tokens = evaluation[["token", "position", "experts"]].assign(kept=(("sample", "layer", "choice"), kept.astype("u1")),
                                                                  expert=(("sample", "layer", "choice"), evaluation["expert"].values[-1]))
    return tokens, evaluation


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_drops(top_k):
    tokens, evaluation = sampled(top_k)
    found = balance.drops(tokens, evaluation)
    position, token = tokens["position"].values, tokens["token"].values
    for i in range(2):
        by_class = reference.drops(tokens, i, lambda t: reference.CLASS[token[t]])
        assert dict(zip(found["drop_by_class"]["label"].values.tolist(), values(found["drop_by_class"], i))) == pytest.approx(by_class)
        by_place = reference.drops(tokens, i, lambda t: next(n for n in found["drop_by_position"]["label"].values.tolist()
                                                             if int(n.split()[0]) <= position[t] <= int(n.split()[-1])))
        assert dict(zip(found["drop_by_position"]["label"].values.tolist(),
                        values(found["drop_by_position"], i))) == pytest.approx(by_place)
        assert found["drop_by_class"]["chance"].values[i, 0] == pytest.approx((tokens["kept"].values[:, i] == 0).mean())
    assert balance.drops(tokens.assign(kept=1 + 0 * tokens["kept"]), evaluation) is None


def test_experts_that_a_layer_cannot_have_are_an_error():
    with pytest.raises(SchemaError, match="expert ids 0 to 6, but the layer has 6 experts"):
        sample.layer_of(log().assign(experts=("layer", [6, 5])), 0)


def test_chance_levels():
    found = agreement.coactivation(log(top_k=3))
    assert found["chance"].values[:, 0, 1].tolist() == pytest.approx([2 / 6, 2 / 4])
    assert agreement.coactivation(log(top_k=3), adjacent=True)["chance"].values[0, 0, 1] == pytest.approx(2 / 6 * 2 / 3)
    assert agreement.saturation(log())["chance"].values[0].tolist() == pytest.approx([2 / 7, 2 / 5])
    assert agreement.any_overlap_chance(8, 2) == pytest.approx(13 / 28) and agreement.any_overlap_chance(3, 2) == 1
    assert nulls.max_vio_floor(4096, 2, 8) == pytest.approx(0.0413954456, abs=1e-9)  # as the program writes it
