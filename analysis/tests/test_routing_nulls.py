"""The nulls against enumeration of everything that can happen, and routing whose answer is known."""
import itertools

import numpy as np
import pytest
from reference_routing import CLASS, TEXTS, log

from yardstick.records import sample
from yardstick.routing import affinity, agreement, balance, context, nulls


def routed(chosen, experts, **more):
    """A log of one evaluation with these experts: (tokens,) first choices, or (tokens, choices)."""
    chosen = np.asarray(chosen)
    return log(experts=(experts,), tokens=len(chosen), chosen=chosen.reshape(1, len(chosen), 1, -1), **more)


def uniform(tokens, experts, top_k, seed=0):
    return np.random.default_rng(seed).random((tokens, experts)).argsort(1)[:, :top_k]


def z(dataset):
    """How many standard deviations of the null lie between values and its mean."""
    ratio = ((dataset["value"] - dataset["null_mean"]) / dataset["null_sd"]).values
    return ratio[np.isfinite(ratio)]


def test_matched_overlap_is_that_of_all_matchings():
    a, b = uniform(6, 5, 2, 1), uniform(6, 5, 2, 2)
    both = [agreement.pair_counts(sample.Layer(0, 5, rows)) for rows in (a, b)]
    every = [np.mean([len(set(a[i]) & set(b[j])) for i, j in enumerate(order)]) for order in itertools.permutations(range(6))]
    mean, sd = nulls.matched_overlap(np.diag(both[0]), both[0], np.diag(both[1]), both[1], 6)
    assert mean == pytest.approx(np.mean(every)) and sd == pytest.approx(np.std(every))


@pytest.mark.parametrize("top_k", [1, 2, 3, 4, 6])
def test_inclusion_is_that_of_all_sets(top_k):
    weights = np.array([1.0, 0.2, 3.0, 0.7, 0.0, 9.0, 2.0])
    single, pair, total = np.zeros(7), np.zeros((7, 7)), 0.0
    for chosen in itertools.combinations(range(7), top_k):
        p = weights[list(chosen)].prod()
        total += p
        single[list(chosen)] += p
        for i, j in itertools.permutations(chosen, 2):
            pair[i, j] += p
    found = nulls.inclusion(weights, top_k)
    assert np.allclose(found[0], single / total) and np.allclose(found[1], pair / total)
    target = single / total
    assert np.allclose(nulls.pairs_given_loads(target, top_k), pair / total, atol=1e-6)


def test_experts_that_every_token_has():
    """The pairs with them are their partners' loads; the others follow from the free choices."""
    pair = nulls.pairs_given_loads(np.array([1.0, 0.5, 0.3, 0.2]), 2)
    assert np.allclose(pair[0], [0, 0.5, 0.3, 0.2]) and np.all(pair[1:, 1:] == 0)
    collapsed = nulls.pairs_given_loads(np.array([1.0, 0, 1.0, 0]), 2)
    assert collapsed[0, 2] == 1 and collapsed.sum() == 2


@pytest.mark.parametrize("experts,top_k", [(64, 8), (64, 60), (512, 8), (7, 5)])
def test_pairs_of_many_experts(experts, top_k):
    """Each expert's pairs sum to k-1 times its share, however skewed the loads are."""
    shares = nulls.inclusion(np.random.default_rng(0).lognormal(0, 1.5, experts), min(top_k, experts - top_k))[0]
    shares = shares if 2 * top_k <= experts else 1 - shares
    pair = nulls.pairs_given_loads(shares, top_k)
    assert np.allclose(pair.sum(1), (top_k - 1) * shares, atol=1e-5) and pair.min() > -1e-9


def test_uniform_loads_have_the_moments_of_choices_without_repetition():
    rng = np.random.default_rng(0)
    drawn = nulls.uniform_loads(30, 3, 7, 20000, rng)
    true = np.array([np.bincount(uniform(30, 7, 3, seed).ravel(), minlength=7) for seed in range(3000)])
    assert drawn.mean() == pytest.approx(30 * 3 / 7) and drawn.var(0).mean() == pytest.approx(30 * 3 / 7 * 4 / 7, rel=0.02)
    for floor in balance.evenness(drawn)["max_vio"].mean(), nulls.max_vio_floor(30, 3, 7):  # 30 tokens: the worst case
        assert floor == pytest.approx(balance.evenness(true)["max_vio"].mean(), rel=0.05)


def test_shuffled_tables_keep_sums():
    """Exactly in frequent rows; loads of the others on average. The first row's cells are hypergeometric."""
    table = np.array([[300, 100, 0, 50], [2, 3, 0, 1], [1, 0, 0, 4], [30, 40, 0, 1]])
    drawn = np.array(list(nulls.shuffled_tables(table, 4000, np.random.default_rng(0))))
    assert np.all(drawn.sum(2) == table.sum(1)) and np.all(drawn[:, :, 2] == 0)
    share = table.sum(0) / table.sum()
    assert np.allclose(drawn.mean(0), table.sum(1)[:, None] * share, atol=0.5)
    assert np.allclose(drawn[:, 0].std(0) / table[0].sum(), nulls.share_sd(share, table[0].sum(), table.sum()), rtol=0.05)


def test_share_sd_is_that_of_all_parts():
    marked = np.array([1, 1, 0, 0, 0, 1, 0])
    every = [marked[list(part)].mean() for part in itertools.combinations(range(7), 3)]
    assert nulls.share_sd(3 / 7, 3, 7) == pytest.approx(np.std(every))


def test_shuffles_stay_within_their_group():
    groups, rng = np.repeat([0, 2, 3], [3, 1, 4]), np.random.default_rng(0)
    orders = np.array([nulls.shuffled_within(groups, rng) for _ in range(3000)])
    assert np.all(groups[orders] == groups)
    assert np.allclose([(orders[:, 0] == i).mean() for i in range(3)], 1 / 3, atol=0.04)
    assert len({tuple(o) for o in orders}) == 6 * 24


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_uniform_routing_is_at_chance(top_k):
    """Within the sampling error of its null, which lies at chance; 5 standard deviations over some 300 values."""
    chosen = np.array([uniform(6000, 7, top_k, seed) for seed in range(2)])[:, :, None, :]
    logged = log(experts=(7,), tokens=6000, chosen=chosen)
    settled = agreement.saturation(logged).isel(step=[0])
    counts = context.within_documents(logged, 20)
    places, domain = context.locality(counts), affinity.domains(logged)
    pairs = [agreement.coactivation(logged)] if top_k > 1 else []
    for dataset in [settled, places["top1"], places["any"], domain["domain"], *pairs]:
        assert np.abs(z(dataset)).max() < 5
        assert np.nanmax(np.abs(dataset["value"] - dataset["chance"])) < 0.04
        assert np.nanmax(np.abs(dataset["null_mean"] - dataset["chance"])) < 0.02
    assert np.abs(z(context.information(counts)["nmi"])) < 5 and np.abs(z(context.class_entropy(counts))).max() < 6
    for variable in affinity.VARIABLES:
        assert np.abs(z(affinity.vocabulary(logged, variable, shuffles=20)[0])) < 5
    for dataset in balance.held_out(logged).values():
        assert np.abs(z(dataset)) < 5
    assert np.abs(z(domain["domain_spread"])) < 5 and np.abs(z(domain["domain_beyond_tokens"])).max() < 5


def test_the_deviation_of_coactivation_is_that_of_repetitions():
    """Binomial given N_i: as wide as many uniform logs show, or somewhat wider (loads are fixed too)."""
    scores = np.concatenate([z(agreement.coactivation(routed(uniform(500, 7, 3, seed), 7))) for seed in range(60)])
    assert 0.75 < scores.std() < 1.02 and abs(scores.mean()) < 0.05


def test_routing_by_token_specialises_in_vocabulary():
    token = log(tokens=3000)["token"].values
    mean, best = affinity.vocabulary(routed(token % 5, 5), "input")
    assert mean["value"].values == 1 and mean["n"].values == 12 and mean["null_mean"].values < 0.4
    assert np.all(best["value"].values == 1) and set(best["label"].values[0]) <= {"the", "The", "7", "42", ","}
    assert affinity.vocabulary(routed(token % 5, 5), "next")[0]["value"].values < 0.45


def test_rare_tokens_show_the_bias_that_the_null_has():
    """Uniform routing, tokens seen 10 times or so: far above 1/E, and as far as the null."""
    logged = log(experts=(7,), tokens=120, chosen=uniform(120, 7, 1).reshape(1, 120, 1, 1))
    mean, _ = affinity.vocabulary(logged, least=1, shuffles=200)
    assert mean["value"].values > 2 / 7 and np.abs(z(mean)) < 4


def test_routing_by_class_gives_all_information():
    kinds = sorted(set(CLASS))
    by_class = np.array([kinds.index(CLASS[t]) for t in log(tokens=3000)["token"].values])
    counts = context.within_documents(routed(by_class, 6), 10)
    found = context.information(counts)
    assert found["nmi"]["value"].values == pytest.approx(1) and found["nmi"]["null_mean"].values < 0.2
    assert np.all(context.class_entropy(counts)["value"].values == 0)
    assert found["nmi_excess"]["value"].values == pytest.approx(1 - found["nmi"]["null_mean"].values)


@pytest.mark.parametrize("document", [log(tokens=3000)["document"].values, np.arange(3000) // 50 % 4], ids=["whole", "alternating"])
def test_routing_by_document_is_no_information_on_classes(document):
    """Documents of one class each, and routing by document: shuffles within documents keep it all, so nothing is in excess."""
    logged = routed(document % 4, 4).assign(token=("sample", np.where(document % 2, 0, 2)), document=("sample", document))
    counts = context.within_documents(logged, 5)
    found = context.information(counts)
    assert found["nmi"]["value"].values > 0.6 and found["nmi_excess"]["value"].values == pytest.approx(0, abs=1e-12)
    assert context.locality(counts)["top1"]["null_mean"].values == 1


def test_routing_by_domain():
    domain = log(tokens=3000)["domain"].values
    found = affinity.domains(routed(domain, 3))
    assert np.allclose(found["domain"]["value"].values[0], np.eye(3)) and found["domain"]["chance"].values[0, 0, 0] == pytest.approx(1 / 3)
    assert z(found["domain_spread"]) > 5 and z(found["domain_beyond_tokens_spread"]) > 5
    assert found["domain_from_other_documents_spread"]["value"].values < 0.1


def test_domain_specialisation_by_token_identity_alone():
    """Domains with tokens of their own and routing by token: all of it is predicted."""
    domain, rng = log(tokens=3000)["domain"].values, np.random.default_rng(3)
    token = 4 * domain + rng.integers(0, 4, 3000)
    found = affinity.domains(routed(token % 6, 6).assign(token=("sample", token)))
    assert np.allclose(found["domain_from_tokens"]["value"], found["domain"]["value"])
    assert np.allclose(found["domain_from_other_documents"]["value"], found["domain"]["value"])
    assert np.allclose(found["domain_beyond_tokens"]["value"], 0) and z(found["domain_spread"]) > 5
    assert len(TEXTS) == 12
