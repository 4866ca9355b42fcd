"""Fits of the laws on data with known answers."""
import numpy as np
import pytest

from yardstick.law import laws, projection

EXPERTS = 2.0 ** np.arange(10)


def clark(experts, e_start, e_max, b=-0.04, d=0.6):
    return 10 ** (d + b * laws.log10_effective(experts, e_start, e_max))


def test_effective_experts_at_their_ends():
    assert 10 ** laws.log10_effective(1, 1.8, 300) == pytest.approx(1.8)
    assert 10 ** laws.log10_effective(1e12, 1.8, 300) == pytest.approx(300)
    assert 10 ** laws.log10_effective(64, 1.8, np.inf) == pytest.approx(64 - 1 + 1.8)
    # from 1/Ehat = 1/(E - 1 + 1/(1/2 - 1/50)) + 1/50 by hand: 1/(9 + 2.0833…) + 0.02
    assert 10 ** laws.log10_effective(10, 2, 50) == pytest.approx(1 / (1 / (9 + 1 / 0.48) + 0.02))


@pytest.mark.parametrize("e_max", [40, 256, 1500])
def test_exact_data_gives_its_parameters_back(e_max):
    fit = laws.fit_clark(clark(EXPERTS, 2.0, e_max), EXPERTS)
    assert fit.values["e_max"] == pytest.approx(e_max, rel=0.01) and fit.values["e_start"] == pytest.approx(2, rel=0.01)
    assert fit.values["b"] == pytest.approx(-0.04, rel=0.01) and fit.values["d"] == pytest.approx(0.6, abs=1e-3) and fit.edge == []


def test_joint_law_gives_its_parameters_back():
    n, experts = (v.ravel() for v in np.meshgrid([1.5e7, 5.5e7, 3.7e8, 1.3e9], EXPERTS))
    x, y = np.log10(n), laws.log10_effective(experts, 1.9, 300)
    fit = laws.fit_clark(10 ** (-0.08 * x - 0.12 * y + 0.01 * x * y + 1.1), experts, n)
    found = [fit.values[k] for k in ("a", "b", "c", "d", "e_start", "e_max")]
    assert found == pytest.approx([-0.08, -0.12, 0.01, 1.1, 1.9, 300], rel=0.01) and fit.residual < 1e-5


def test_the_fit_is_a_minimum_that_scipy_does_not_better():
    from scipy.optimize import least_squares

    rng = np.random.default_rng(3)
    losses = clark(EXPERTS, 2.5, 120) * (1 + 0.002 * rng.normal(size=10))
    fit = laws.fit_clark(losses, EXPERTS)
    start = [fit.values["d"], fit.values["b"], np.log(fit.values["e_start"]), np.log(fit.values["e_max"])]
    other = least_squares(lambda p: p[0] + p[1] * laws.log10_effective(EXPERTS, np.exp(p[2]), np.exp(p[3])) - np.log10(losses),
                          start, xtol=1e-14, ftol=1e-14)
    assert fit.sse <= 2 * other.cost * (1 + 1e-4)
    assert fit.values["e_max"] == pytest.approx(np.exp(other.x[3]), rel=0.02)


def test_one_fit_and_many_agree():
    rng = np.random.default_rng(4)
    losses = clark(EXPERTS, 2, 256) * (1 + 0.001 * rng.normal(size=(7, 10)))
    many = laws.fit_draws(losses, EXPERTS, smallest=1e-3)
    one = [laws.fit_clark(row, EXPERTS).values for row in losses]
    for name in ("b", "d", "e_start", "e_max"):
        assert many[name] == pytest.approx([v[name] for v in one], rel=1e-9)


def test_a_column_within_the_fixed_ones_explains_nothing():
    model = projection.Model(np.ones((5, 1)), lambda t: np.ones((len(t), 1, 5)) * t[:, :1, None], np.array([[1.0], [2.0]]),
                             lambda t: t * 0 + 1, lambda t: t * 0 + 2, np.array([1.0]))
    y = np.array([1.0, 2, 3, 4, 5])
    assert projection.solve(model, y).sse == pytest.approx(((y - 3) ** 2).sum())


def test_offset_law_gives_its_parameters_back():
    fit = laws.fit_offset(2.0 + 1.2 * (EXPERTS + 3) ** -0.4, EXPERTS)
    assert [fit.values[k] for k in ("l_inf", "amplitude", "e0", "beta")] == pytest.approx([2.0, 1.2, 3.0, 0.4], rel=0.02)
    assert fit.residual < 1e-5


def test_aicc_by_hand():
    # 10 points, 4 parameters: 10 ln(0.01 / 10) + 2·4·10 / (10 - 4 - 1)
    assert laws.aicc(0.01, 10, 4) == pytest.approx(10 * np.log(0.001) + 16)
    assert laws.aicc(0.01, 5, 4) == np.inf


def test_parameters_are_counted_with_the_noise():
    losses = clark(EXPERTS, 2, 256) * (1 + 0.001 * np.random.default_rng(1).normal(size=10))
    power, full = laws.fit_clark(losses, EXPERTS, finite=False), laws.fit_clark(losses, EXPERTS)
    assert power.aicc == pytest.approx(laws.aicc(power.sse, 10, 4)) and full.aicc == pytest.approx(laws.aicc(full.sse, 10, 5))
    assert full.residual == pytest.approx(np.sqrt(full.sse / 6)) and power.values["e_max"] == np.inf


# 95 % ranges of the estimate of E_max = 256 that a simulation with another program found, by relative noise; its grid is e^0.25
# apart and few draws stand behind it, so an end may lie a node off (on that grid, 300 draws give 403 or 518 for the last one)
@pytest.mark.parametrize("noise,low,high", [(0.0005, 245, 314), (0.001, 191, 314), (0.002, 148, 518)])
def test_identifiability(noise, low, high):
    losses = clark(EXPERTS, 2, 256) * (1 + noise * np.random.default_rng(1).normal(size=(1500, 10)))
    found = laws.interval(laws.fit_draws(losses, EXPERTS)["e_max"])
    node = 1.3
    assert low / node < found[0] < low * node and high / node < found[1] < high * node
    assert found[0] < 256 < found[1]


def test_a_wide_interval_where_e_max_is_not_determined():
    losses = clark(EXPERTS, 2, 1024) * (1 + 0.005 * np.random.default_rng(1).normal(size=(1500, 10)))
    assert laws.interval(laws.fit_draws(losses, EXPERTS)["e_max"])[1] > 2e4


def test_intervals():
    assert laws.interval(np.arange(1, 1001)) == pytest.approx((25, 975), abs=1)
    low, high = laws.interval([1.0, 2.0, 3.0] * 30 + [np.inf] * 10)
    assert low == 1 and high == np.inf
    assert np.isnan(laws.interval([1.0, np.nan])).all() and np.isnan(laws.interval([])).all()


@pytest.mark.parametrize("gaussian", [False, True])
def test_residual_draws_are_as_wide_as_the_residuals(gaussian):
    rng = np.random.default_rng(2)
    fit = laws.fit_clark(clark(EXPERTS, 2, 256) * (1 + 0.002 * rng.normal(size=10)), EXPERTS)
    draws = np.log10(laws.residual_draws(fit, 20000, rng, gaussian))
    assert draws.mean(0) == pytest.approx(fit.fitted, abs=4 * fit.residual / np.sqrt(20000) + 1e-9)
    assert (draws - fit.fitted).std() == pytest.approx(fit.residual, rel=0.03)


@pytest.mark.parametrize("gain,upper,stated",
                         [(6.1, 2047, True), (5.9, 2047, False), (6.1, 2048, False), (6.1, np.inf, False), (60, np.nan, False)])
def test_when_a_finite_e_max_may_be_stated(gain, upper, stated):
    assert laws.may_state(gain, upper, 512) is stated


def test_comparison_states_a_bend_and_no_bend():
    rng = np.random.default_rng(5)
    noise = 1 + 0.0005 * rng.normal(size=10)
    bent = laws.compare(clark(EXPERTS, 2, 100) * noise, EXPERTS, draws=1000)
    assert bent.stated and bent.gain > 6 and bent.e_max[0] < 100 < bent.e_max[1]
    straight = laws.compare(clark(EXPERTS, 2, np.inf) * noise, EXPERTS, draws=1000)
    assert not straight.stated
