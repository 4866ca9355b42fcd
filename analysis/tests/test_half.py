"""E_half from smoothed gains and from a fitted law, what it is off by, contrasts of a curve, and whether rules can be met: against other
programs and closed forms."""
import pathlib
import types

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from yardstick.law import contrasts, coverage, curves, half, laws, power, saturation

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXPERTS = 2.0 ** np.arange(8)
LAW = 10 ** (0.6 - 0.06 * laws.log10_effective(EXPERTS, 1.9, 40))


@pytest.mark.parametrize("seed", range(4))
def test_smoothed_gains_are_scipys_isotonic_regression(seed):
    gains, widths = np.random.default_rng(seed).normal(size=(5, 7)), np.array([1.0, 1, 2, 1, 3, 1, 1])
    expected = [optimize.isotonic_regression(row, weights=widths, increasing=False).x for row in gains]
    assert half.falling(gains, widths) == pytest.approx(np.array(expected))


def test_gains_that_fall_are_left_as_they_are():
    losses = 3 * EXPERTS**-0.25
    for found in (half.e_half, half.first):
        assert found(losses, EXPERTS) == pytest.approx([16])


def test_one_lucky_doubling_decides_no_longer():
    """A gain of 0.07 among gains of 0.03: the one behind it is half of it; smoothed, the fall is where it is, between 32 and 64."""
    losses = 4 - np.r_[0, np.cumsum([0.03, 0.03, 0.07, 0.034, 0.034, 0.03, 0.01])]
    assert half.first(losses, EXPERTS)[0] <= 8 and 32 < half.e_half(losses, EXPERTS)[0] < 64


def test_the_law_gives_its_own_back():
    assert half.by_law(LAW, EXPERTS) == pytest.approx(half.e_half(LAW, EXPERTS), rel=0.02)
    assert half.by_law(-LAW, EXPERTS).shape == (1,), "losses that no curve has do not end the program"


@pytest.mark.parametrize("ratio,experts,low,high", [(5.2083, EXPERTS, 37.1, 40.7), (64, 2.0 ** np.arange(10), 78.0, 79.1)])
def test_what_the_published_law_gives_through_the_same_function(ratio, experts, low, high):
    """By a plain program: Clark's formula with the refitted rows and the registered E_max, isotonic gains, the crossing of half."""
    found = []
    for router in ("S-BASE", "RL-R"):
        v, (constant, exponent), x = curves.EXPECTED[router], curves.REGISTERED[router], np.log10(786432)
        e_max = constant * ratio**exponent
        effective = 1 / (1 / (experts - 1 + 1 / (1 / v["e_start"] - 1 / e_max)) + 1 / e_max)
        losses = 10 ** (v["a"] * x + v["d"] + (v["b"] + v["c"] * x) * np.log10(effective))
        gains = optimize.isotonic_regression(losses[:-1] - losses[1:], increasing=False).x
        at = np.flatnonzero(gains <= gains[0] / 2)[0]
        share = (gains[at - 1] - gains[0] / 2) / (gains[at - 1] - gains[at])
        found.append(experts[at - 1] * 2**share)
    assert half.predicted(ratio, "softmax", experts, 786432) == pytest.approx((min(found), max(found)))
    assert (min(found), max(found)) == pytest.approx((low, high), abs=0.06)
    assert half.predicted(ratio, "Hash", experts, 786432)[0] > high


def test_published_curves_agree_with_the_law_and_not_with_its_limit():
    """S-BASE 370M: E_half measured 153, by the law 139, E_max 171; E_max by the root of 2 would say 121 (docs of the experiment)."""
    rows = pd.read_csv(ROOT / "experiments/law-from-published-curves/sizes.csv").set_index(["router", "size"])
    row = rows.loc[("S-BASE", "370M")]
    assert row["e_half"] == pytest.approx(153, abs=1) and row["e_max"] / 2**0.5 == pytest.approx(121, abs=1)
    assert row["e_half_law"] == pytest.approx(139, abs=1), "as an independent review of the same file found"


@pytest.fixture(scope="module")
def found():
    """At the noise of the committed curve, of a law whose whole gain is that curve's."""
    truth = half.measured_like(5.2083, "softmax", EXPERTS, 786432, 0.135)
    return truth, half.bias(truth, EXPERTS, coverage.Design(3, 8, 1, 0.04, 0.0), tables=200)


def test_the_first_noisy_gain_is_biased_low_and_smoothing_helps(found):
    truth, bias = found
    assert truth[0] - truth[-1] == pytest.approx(0.135) and bias.true == pytest.approx(39, abs=1)
    assert bias.first < 10 < bias.smooth < bias.law and abs(np.log(bias.law / bias.true)) < np.log(1.4)
    assert bias.covers >= 0.93 and bias.tables == 200


@pytest.mark.parametrize("seeds,deviation", [(3, 0.01), (5, 0.003), (10, 0.04)])
def test_the_hull_holds_e_half(seeds, deviation):
    truth = half.measured_like(64, "softmax", EXPERTS, 786432, 0.15)
    assert half.bias(truth, EXPERTS, coverage.Design(seeds, 8, 1, deviation, 0.0), tables=100).covers >= 0.93


def test_where_nothing_is_gained_there_is_no_law_of_that_size():
    assert half.measured_like(5, "softmax", EXPERTS, 786432, -0.01) is None


def test_an_estimate_states_the_hull_of_both():
    losses = LAW[None, :, None] + 0.005 * np.random.default_rng(1).normal(size=(3, 8, 1))
    found = half.estimate(losses, EXPERTS)
    assert found.stated.low == min(found.smooth.low, found.law.low) and found.stated.high == max(found.smooth.high, found.law.high)
    assert found.stated.value == found.law.value
    few = half.estimate(losses[:, :4], EXPERTS[:4])
    assert np.isnan(few.law.value) and few.stated == few.smooth
    assert np.isnan(half.estimate(losses[:1], EXPERTS).stated.low)


def by_noncentral_t(effect, deviation, seeds, columns):
    """Chance that a contrast of unit length whose truth is `effect` has a lower limit above 0."""
    freedom = (seeds - 1) * (columns - 1)
    return stats.nct.sf(stats.t.ppf(0.975, freedom), freedom, effect / (deviation / np.sqrt(seeds)))


@pytest.mark.parametrize("effect,columns,seeds", [(2.0, 3, 3), (4.0, 3, 3), (2.0, 8, 3), (1.0, 8, 10)])
def test_power_of_one_contrast_is_that_of_the_noncentral_t(effect, columns, seeds):
    """effect: of the contrast, in standard errors at one seed."""
    experts = EXPERTS[:columns]
    weights = -coverage.trend_weights(experts)
    truth = -0.04 * effect * np.log2(experts) / (weights @ -np.log2(experts)) * np.sqrt(weights @ weights)
    expected = by_noncentral_t(0.04 * effect, 0.04, seeds, columns)
    assert 0.1 < expected < 0.999 and power.met(truth, weights, 0.04, seeds) == pytest.approx(expected, abs=0.02)


def test_every_doubling_cannot_gain_at_the_measured_noise():
    truth = half.measured_like(5.2083, "softmax", EXPERTS, 786432, 0.135)
    found = power.of(truth, contrasts.doubling_weights(EXPERTS, 64.0), 0.04, 3)
    assert found.met < 0.001 and found.under and found.enough is None and found.most < 0.3
    assert 0.003 < found.quiet < 0.012 and power.met(truth, contrasts.doubling_weights(EXPERTS, 64.0), found.quiet, 5) >= 0.8
    trend = power.of(truth, -coverage.trend_weights(EXPERTS), 0.04, 3)
    assert trend.met > 0.9 and not trend.under and trend.enough == 3
    rising = power.of(truth[::-1], -coverage.trend_weights(EXPERTS), 0.04, 3)
    assert rising.quiet == 0 and rising.met == 0


def test_contrasts_of_known_curves():
    x = np.log2(EXPERTS)
    parabola = 4 - 0.1 * x + 0.007 * x**2  # gain of x to x + 1: 0.1 - 0.007 (2 x + 1), so it changes by -0.014 a doubling
    assert contrasts.bend_weights(EXPERTS) @ parabola == pytest.approx(-0.014)
    assert contrasts.slope_weights(EXPERTS) @ parabola == pytest.approx(-0.014)
    assert contrasts.bend_weights(EXPERTS).sum() == pytest.approx(0, abs=1e-12) and contrasts.slope_weights(EXPERTS[:4]) is None
    assert contrasts.gain_weights(EXPERTS, 64.0) @ parabola == pytest.approx(0.6 - 0.007 * 36)
    sparse = EXPERTS[[0, 2, 4, 6]]
    assert contrasts.doubling_weights(sparse, 16.0) @ (-np.log2(sparse)) == pytest.approx([1, 1])
    noisy = 4 + np.random.default_rng(1).normal(size=8)
    gains = saturation.gains_per_doubling(noisy, EXPERTS)
    assert contrasts.slope_weights(EXPERTS) @ noisy == pytest.approx(saturation.slope(gains, EXPERTS[:-1])[0])


def test_a_curve_without_noise_or_gain_has_no_power():
    def table(losses):
        return types.SimpleNamespace(losses=losses, experts=EXPERTS, tokens=4.1e6, n=786432, router="softmax")
    rng = np.random.default_rng(1)
    none = contrasts.measure(table(LAW[None, ::-1, None] + 0.01 * rng.normal(size=(3, 8, 1))))
    assert none.powers == {} and none.bias is None and none.trend.low > 0
    one = contrasts.measure(table(LAW[None, :, None]))
    assert one.powers == {} and np.isnan(one.trend.low) and np.isnan(one.covers["trend"])
    found = contrasts.measure(table(LAW[None, :, None] + 0.01 * rng.normal(size=(3, 8, 1))))
    assert found.trend.high < 0 < found.gain.low and found.bend.value < 0 and min(found.covers.values()) >= 0.93
    assert set(found.powers) == {"every doubling gains", "the trend", "the bend", "the slope of the gain over E ≥ 8"}


def test_the_band_of_a_fit_is_that_of_differences():
    """What moves a whole draw up or down moves no band; what bends it does."""
    rng, experts = np.random.default_rng(2), 2.0 ** np.arange(10)
    drawn, shift = 3 * experts**-0.1 + 0.01 * rng.normal(size=(200, 10)), rng.normal(size=(200, 1))
    x, low, high = saturation.fit_band(drawn, experts)
    _, moved_low, moved_high = saturation.fit_band(drawn + shift - shift.mean(), experts)
    assert moved_low == pytest.approx(low, abs=2e-3) and moved_high == pytest.approx(high, abs=2e-3)
    assert (high - low).max() < 0.1 < shift.std() and len(x) == 80
