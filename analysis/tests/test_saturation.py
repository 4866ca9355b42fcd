"""Diminishing and saturation: known answers, the bootstrap, and every branch of the sentences."""
import math
import types

import numpy as np
import pytest

from yardstick.verdicts import acceptance
from yardstick.law import laws, saturation
from yardstick.law.saturation import Interval
from yardstick.sweeps import sentences

EXPERTS = 2.0 ** np.arange(10)
LEFT = EXPERTS[:-1]


def gains(losses):
    return saturation.gains_per_doubling(losses, EXPERTS)


@pytest.mark.parametrize("beta,half", [(1.0, 2), (0.5, 4), (0.25, 16)])
def test_power_law(beta, half):
    """L = E^-beta: Delta(E) = (1 - 2^-beta) E^-beta, halved at 2^(1/beta), which is a node here."""
    found = gains(EXPERTS**-beta)
    assert found == pytest.approx((1 - 2**-beta) * LEFT**-beta)
    assert saturation.e_half(found, LEFT)[0] == pytest.approx(half)
    share = saturation.e_share(EXPERTS**-beta, EXPERTS)[0]
    exact = (1 - 0.9 * (1 - 512**-beta)) ** (-1 / beta)
    assert share == pytest.approx(exact, rel=0.08)  # the curve is bent between two E, the interpolation is not


@pytest.mark.parametrize("vertex", [6, 7.5, 8])
def test_parabola_with_its_vertex_at_the_saturation_point(vertex):
    """L = (log2 E - v)^2: Delta = 2 (v - log2 E) - 1, linear in log2 E, so E_half = 2^((v - 1/2)/2) and the slope is -2 exactly."""
    found = gains((np.log2(EXPERTS) - vertex) ** 2)
    assert found == pytest.approx(2 * (vertex - np.log2(LEFT)) - 1)
    assert np.log2(saturation.e_half(found, LEFT)[0]) == pytest.approx((vertex - 0.5) / 2)
    assert saturation.slope(found, LEFT)[0] == pytest.approx(-2)


def test_e_half_lies_behind_the_greatest_gain():
    found = np.array([0.01, 0.05, 0.1, 0.1, 0.09, 0.06, 0.04, 0.03, 0.02])
    assert np.log2(saturation.e_half(found, LEFT)[0]) == pytest.approx(5.5)


def test_ends_of_e_half_and_e_share():
    assert saturation.e_half(np.ones(9), LEFT)[0] == np.inf
    assert saturation.e_half(-np.ones(9), LEFT)[0] == 1
    assert saturation.e_share(np.arange(10.0), EXPERTS)[0] == 1
    assert saturation.e_share(-np.arange(10.0), EXPERTS)[0] == pytest.approx(2**8.1)


def test_missing_numbers_of_experts_are_counted_as_their_doublings():
    experts = np.array([1.0, 8, 64, 512])
    assert saturation.gains_per_doubling(-np.log2(experts), experts) == pytest.approx([1, 1, 1])


def rule(*highs):
    return saturation.flat_from([Interval(0, -1, h) for h in highs], LEFT[-len(highs):])


def test_equivalence_needs_every_gain_from_there_on():
    assert rule(0.1, 0.004, 0.0049) == 128 and rule(0.001, 0.1, 0.004) == 256
    assert rule(0.001, 0.001, 0.005) is None and rule(0.001, float("nan")) is None


def noisy(seed_sd, block_sd, own_sd, seeds=3, blocks=64, seed=1):
    """(S, E_n, B) losses: what seeds and blocks share over E, and noise of each."""
    rng = np.random.default_rng(seed)
    curve = 3 * EXPERTS**-0.1
    return (curve[None, :, None] + seed_sd * rng.normal(size=(seeds, 1, 1)) + block_sd * rng.normal(size=(1, 1, blocks)) +
            own_sd * rng.normal(size=(seeds, 10, blocks)))


def test_what_all_numbers_of_experts_share_cancels():
    drawn = saturation.bootstrap(noisy(0.5, 1.0, 0), np.random.default_rng(1), 2000)
    assert drawn.std(0).min() > 0.1
    assert gains(drawn).std(0).max() < 1e-12


def test_width_of_the_bootstrap_over_blocks():
    """One seed: the spread of Delta is that of a mean over blocks, sqrt(2) sd / sqrt(B)."""
    losses = noisy(0, 0.3, 0.02, seeds=1, blocks=400)
    drawn = gains(saturation.bootstrap(losses, np.random.default_rng(1), 4000))
    assert drawn.std(0).mean() == pytest.approx(0.02 * math.sqrt(2 / 400), rel=0.1)
    assert drawn.mean(0) == pytest.approx(gains(losses.mean((0, 2))), abs=2e-4)


def test_more_seeds_do_not_make_the_text_larger():
    """Every seed is evaluated on the same blocks, so what a block is harder by does not average out over seeds."""
    losses = noisy(0, 0.3, 0, seeds=16, blocks=100)
    drawn = saturation.bootstrap(losses, np.random.default_rng(1), 4000)
    assert drawn.std(0) == pytest.approx(losses[0, 0].std() / 10, rel=0.1)


def test_width_of_the_bootstrap_over_seeds():
    rng = np.random.default_rng(3)
    losses = np.repeat(3 + 0.01 * rng.normal(size=(8, 10, 1)), 5, axis=2)  # seeds differ, blocks do not
    drawn = saturation.bootstrap(losses, rng, 4000)
    assert drawn.std(0) == pytest.approx(losses[:, :, 0].std(0) / math.sqrt(8), rel=0.1)


def test_speed_up():
    steps = np.array([100, 200, 300, 400])
    losses = np.array([[4, 3.5, 3.2, 3.0], [4, 3.0, 2.5, 2.2]])
    assert saturation.speed_up(steps, losses, [1, 64]) == pytest.approx(2)
    assert math.isnan(saturation.speed_up(steps, losses[::-1], [1, 64])) and math.isnan(saturation.speed_up(steps, losses, [2, 64]))


def curve_of(history):
    """A curve over E = 1 and 64 as far as the speed-up needs it, of losses (S, 2, T, B)."""
    return types.SimpleNamespace(steps=np.array([100, 200, 300, 400]), experts=np.array([1.0, 64]), curves=history.mean((0, 3)))


def test_limits_of_the_speed_up_against_a_plain_loop():
    rng = np.random.default_rng(4)
    means = np.array([[4, 3.5, 3.2, 3.0], [4, 3.2, 2.7, 2.3]])
    history = means[None, :, :, None] + 0.2 * rng.normal(size=(3, 1, 1, 1)) + 0.1 * rng.normal(size=(3, 2, 4, 16))
    found, loop = saturation.speed_up_interval(curve_of(history), history, rng, 4000), []
    for _ in range(4000):
        seeds, blocks = rng.integers(0, 3, 3), rng.integers(0, 16, 16)
        loop.append(saturation.speed_up(curve_of(history).steps, history[seeds][..., blocks].mean((0, 3)), [1, 64]))
    assert found.low < found.value < found.high
    assert found[1:] == pytest.approx(np.quantile(loop, [0.025, 0.975]), rel=0.02)
    never = history + np.array([0, 2.0])[None, :, None, None] * (np.arange(3) == 0)[:, None, None, None]  # one seed never gets there
    assert saturation.speed_up_interval(curve_of(never), never, rng, 4000).low == 0, "a draw that does not reach the loss counts as 0"
    for none in (saturation.speed_up_interval(curve_of(history), None, rng),
                 saturation.speed_up_interval(curve_of(history), history[:1, ..., :1], rng)):
        assert np.isnan(none.low) and none.value == found.value


def test_deviation_over_seeds_at_both_ends():
    losses = np.zeros((3, 10, 4)) + np.array([-0.01, 0, 0.01])[:, None, None] * np.linspace(1, 2, 10)[:, None]
    assert saturation.seed_deviations(losses) == pytest.approx((0.01, 0.02))
    assert np.isnan(saturation.seed_deviations(losses[:1])).all()


@pytest.mark.parametrize("sd,part", [((0.005, 0.01), "within the 0.2 %"), ((0.005, 0.02), "above the 0.2 %"),
                                     ((0.02, 0.005), "above the 0.2 %")])
def test_whether_there_are_seeds_enough(sd, part):
    """0.2 % of 3 nat, times the root of 3 seeds, is 0.0104 nat."""
    s = summary(seed_sd=sd, losses=np.full(10, 3.0))
    assert part in said(s) and f"(deviation over seeds {sd[1]:.4f} nat)" in said(s)
    assert sentences.seed_noise(s)["512"] == pytest.approx(sd[1] / 3**0.5 / 3)
    assert "standard error over" not in said(summary())


def test_predictions_of_the_published_curves():
    assert saturation.predicted_range(60) == pytest.approx((76, 106), rel=0.01)
    assert saturation.predicted_range(60, "hash") == pytest.approx((145, 145), rel=0.01)


def summary(**changes):
    """A diminishing curve of 3 seeds that has not stopped."""
    s = [Interval(g, g - 0.002, g + 0.002) for g in np.linspace(0.05, 0.01, 9)]
    base = saturation.Summary(EXPERTS, 3 - np.cumsum(np.r_[0, np.linspace(0.05, 0.01, 9)]), LEFT, s,
                              Interval(80, 60, 110), Interval(150, 130, 180),
                              Interval(-0.005, -0.006, -0.004), None, (77.0, 108.0), None, Interval(2.0, 1.8, 2.2), 3, 64,
                              786432, 5e7, 135e6, whole=Interval(0.27, 0.26, 0.28))
    return base._replace(**changes)


def said(s):
    return " ".join(sentences.sentences(s))


NAN = Interval(0.01, float("nan"), float("nan"))
LAST = [Interval(g, g - 0.002, g + 0.002) for g in np.linspace(0.05, 0.01, 9)][:-1]


def test_default_sentences():
    text = said(summary())
    for part in ("At N = 786,432, D = 50.0 M tokens (D/N = 64) the gain per doubling diminishes", "0.0500 nat at E = 1",
                 "0.0100 nat at E = 256",
                 "It did not reach zero: the last doubling still gains 0.0100 nat (95 % interval 0.0080 to 0.0120)",
                 "E_half = 80 (95 % interval 60 to 110); 90 % of the gain from E = 1 to 512, 0.2700 nat (95 % interval 0.2600 to "
                 "0.2800), is reached at E_90 = 150 (95 % interval 130 to 180).",
                 "measured at 130 B tokens; we did not run that regime",
                 "predicts E_max ≈ 77 to 108 (registered for E_half), which our interval does meet",
                 "3-seed, ≤135.0 M-parameter result; it tests the mechanism, not the constant"):
        assert part in text


CENSORED = dict(e_half=Interval(np.inf, 90, np.inf), predicted=(100.0, 128.5))  # twice 128.5 lies beyond the last gain, at E = 256
SMALL = dict(gains=[Interval(g, g - 0.0001, g + 0.0001) for g in [0.0049] * 4 + [0.001] * 5], flat_from=1.0)
OPEN = dict(slope=Interval(-0.001, -0.003, 0.001))
BRANCHES = [(OPEN | dict(gains=[Interval(0.01, 0.008, 0.05)] * 9), "(95 % interval 0.0080 to 0.0500); diminishing is not resolved"),
            (OPEN, "which lies below the greatest; diminishing over E ≥ 8, where it is judged, is not resolved at this N and D."),
            (dict(slope=Interval(0.002, 0.001, 0.003)), "which lies below the greatest; over E ≥ 8 it grows with E"),
            (dict(slope=saturation.NOWHERE, left=LEFT[:4]), "it needs two doublings from E = 8 on, the curve has 1."),
            (dict(whole=Interval(-0.028, -0.05, -0.01)), "from E = 1 to 512 more experts gave no measurable gain, -0.0280 nat "
             "(95 % interval -0.0500 to -0.0100), so there is no E_90."),
            (dict(whole=Interval(0.01, -0.01, 0.03)), "more experts gave no measurable gain, 0.0100 nat (95 % interval -0.0100 to 0.0300)"),
            (dict(gains=[*LAST, Interval(0.001, -0.006, 0.008)]), "Whether it reached zero is not resolved"),
            (dict(gains=[*LAST, Interval(0.001, -0.001, 0.0049)], flat_from=256.0), "the loss saturates at E = 256"),
            (dict(gains=[*LAST, Interval(-0.02, -0.03, -0.01)], flat_from=256.0), "even made the loss worse: check the gap"),
            (dict(gains=[Interval(-0.01, -0.02, 0.001)] * 9, flat_from=1.0),
             "none were seen to begin. Without such a gain there is no E_half"),
            (dict(tokens=400.0, n=800.0), "D/N = 0.5)"),
            (dict(e_half=Interval(np.inf, 200, np.inf)),
             "E_half lies beyond E = 256 (95 % interval 200 to beyond the last gain measured, not resolved)"),
            (dict(e_half=Interval(np.inf, 200, np.inf)), "(registered for E_half), which our interval does not meet"),
            (CENSORED, "open towards larger E, cannot decide"),
            (SMALL, "none were seen to begin. Without such a gain"),
            (dict(e_half=Interval(np.inf, 200, np.inf)), "The bend lies beyond E = 256 at this D/N"),
            (dict(e_half=Interval(20, 15, 30)), "which our interval does not meet"),
            (dict(e_half=Interval(20, 15, 30)), "The bend comes earlier than half the prediction"),
            (dict(e_half=Interval(80, 60, 110), predicted=(145.0, 145.0)),
             "E_max ≈ 145 (registered for E_half), which our interval does not contain"),
            (dict(e_half=NAN), "against which we have no interval"), (dict(tokens=1.3e11), "measured at 130 B tokens. Scaling"),
            (dict(gains=[NAN] * 9, slope=NAN), "no interval: one seed and no blocks"), (dict(), "Too few numbers of experts to fit")]


@pytest.mark.parametrize("changes,part", BRANCHES)
def test_branches_of_the_sentences(changes, part):
    text = said(summary(**changes))
    assert part in text
    s = summary(**changes)
    assert ("saturate" in text) == (s.flat_from is not None and s.gains[0].value > 0.005), "saturation is only named where the rule holds"


def test_e_max_is_stated_by_its_rule_only():
    fit = type("Fit", (), dict(values=dict(e_max=90.0)))
    compared = dict(clark=fit, gain=20.0, e_max=(70.0, 120.0))
    yes, no = (type("Comparison", (), compared | dict(stated=s)) for s in (True, False))
    assert "has a finite E_max = 90" in said(summary(comparison=yes))
    assert "A finite E_max is not supported" in said(summary(comparison=no)) and "has a finite" not in said(summary(comparison=no))
    assert "(10 numbers of experts; AICc" in said(summary(comparison=no)) and "With so few points" not in said(summary(comparison=no))
    few = said(summary(comparison=no, experts=EXPERTS[:8]))
    assert "(8 numbers of experts; AICc" in few and "the power law would have to leave 22 times the squared residual" in few


@pytest.mark.parametrize("points", [7, 8, 10])
def test_the_residual_that_aicc_asks_for(points):
    """At one N Clark's law has 4 parameters and the noise, the power law one less: at the ratio the gain is the evidence asked for."""
    experts = 2.0 ** np.arange(points)
    clark, power = (laws.fit_clark(3 * experts**-0.05, experts, finite=finite) for finite in (True, False))
    free = [sum(np.isfinite(v) for v in fit.values.values()) + 1 for fit in (clark, power)]
    assert free == [5, 4]
    gain = laws.aicc(laws.needed_ratio(points), points, 4) - laws.aicc(1, points, 5)
    assert gain == pytest.approx(laws.EVIDENCE)


@pytest.mark.parametrize("slopes,part", [((0.01, 0.02), "widens with E in every seed"), ((-0.01, 0.05), "does not widen"),
                                         ((0.001, 0.002), "does not widen")])
def test_the_gap_is_said_to_widen_where_it_does_in_every_seed(slopes, part):
    (text,) = sentences.gap_sentences(EXPERTS, 0.1 + np.outer(slopes, np.log2(EXPERTS)))
    assert part in text and "from 0.1000 nat at E = 1" in text
    assert sentences.gap_sentences(EXPERTS, np.full((2, 10), np.nan)) == []


VERDICTS = [(sentences.helps, {}, "reproduced"), (sentences.helps, dict(speed_up=Interval(2.0, 1.4, 2.2)), "direction only"),
            (sentences.helps, dict(speed_up=Interval(1.4, 1.2, 1.6)), "direction only"),
            (sentences.helps, dict(speed_up=Interval(1.4, 1.2, 1.49)), "not reproduced"),
            (sentences.helps, dict(speed_up=Interval(0.9, 0.7, 1.6)), "not testable here"),
            (sentences.helps, dict(speed_up=Interval(2.0, math.nan, math.nan)), "direction only"),
            (sentences.helps, dict(speed_up=NAN._replace(value=math.nan)), "direction only"),
            (sentences.helps, dict(gains=[Interval(0.01, -0.01, 0.02)] * 9), "direction only"),
            (sentences.helps, dict(gains=[Interval(-0.01, -0.02, 0.01)] * 9), "not testable here"),
            (sentences.helps, dict(experts=EXPERTS[1:]), "not testable here"),
            (sentences.helps, dict(gains=[Interval(-0.01, -0.02, -0.005)] * 9), "not reproduced"),
            (sentences.gains_diminish, {}, "reproduced"),
            (sentences.gains_diminish, dict(e_half=Interval(300, 250, 400)), "not reproduced"),
            (sentences.gains_diminish, dict(e_half=Interval(20, 10, 30)), "not reproduced"),
            (sentences.gains_diminish, dict(e_half=Interval(300, 200, 400)), "direction only"),
            (sentences.gains_diminish, dict(e_half=Interval(300, 250, 400), slope=Interval(-0.001, -0.003, 0.001)), "not reproduced"),
            (sentences.gains_diminish, dict(slope=Interval(0.001, -0.001, 0.003)), "not testable here"),
            (sentences.gains_diminish, SMALL, "not testable here"),
            (sentences.gains_diminish, dict(slope=Interval(-0.001, -0.003, 0.001)), "direction only"),
            (sentences.gains_diminish, dict(slope=Interval(0.002, 0.001, 0.003)), "not reproduced"),
            (sentences.gains_diminish, dict(slope=NAN), "not testable here"),
            (sentences.gains_diminish, CENSORED, "not testable here"),
            (sentences.gains_diminish, CENSORED | dict(slope=Interval(0.002, 0.001, 0.003)), "not reproduced"),
            (sentences.gains_diminish, CENSORED | dict(e_half=Interval(250, 90, np.inf)), "reproduced"),
            (sentences.gains_diminish, CENSORED | dict(predicted=(100.0, 127.5)), "direction only"),
            (sentences.saturates_at_256, SMALL, "not testable here"),
            (sentences.saturates_at_256, {}, "not reproduced"),
            (sentences.saturates_at_256, dict(gains=[*LAST, Interval(0.001, 0, 0.004)]), "reproduced"),
            (sentences.saturates_at_256, dict(gains=[*LAST, Interval(0.001, 0, 0.006)]), "direction only"),
            (sentences.saturates_at_256, dict(gains=[*LAST, Interval(0.006, 0, 0.009)]), "not testable here"),
            (sentences.saturates_at_256, dict(gains=[Interval(-0.01, -0.02, 0.001)] * 9), "not testable here"),
            (sentences.saturates_at_256, dict(left=LEFT / 2), "not testable here")]


@pytest.mark.parametrize("verdict,changes,status", VERDICTS)
def test_verdicts(verdict, changes, status):
    assert verdict(summary(**changes))[0] == status and status in acceptance.STATUSES


def test_what_lies_beyond_the_last_gain_is_censored():
    why = sentences.gains_diminish(summary(**CENSORED))[1]["why"]
    assert why == "censored: the curve ends at E = 512, E_half lies beyond E = 256"
    assert sentences.contains(summary(**CENSORED)) is None
    assert sentences.contains(summary(**CENSORED | dict(predicted=(100.0, 127.5)))) is True


def test_an_acceptance_entry_has_one_of_four_statuses():
    with pytest.raises(ValueError, match="none of reproduced"):
        acceptance.entry("claim", "published", "rule", ("surely", {}), None, [])
    assert acceptance.plain(dict(a=np.float64(np.inf), b=[float("nan"), np.int64(3)])) == dict(a="inf", b=[None, 3])
