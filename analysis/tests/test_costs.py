"""Speed-ups, memory and speed over E: known answers, and every verdict."""
import math

import numpy as np
import pytest

from yardstick.law import saturation
from yardstick.law.saturation import Interval
from yardstick.sweeps import costs, results

EXPERTS = 2.0 ** np.arange(7)


def table(**runs):
    """A curve of 2 seeds with 3 evaluations; E experts reach the dense model's last loss at step 300/E^0.5 + 100."""
    steps = np.array([100, 200, 300])
    curves = np.array([[4.0, 3.0, 2.0], *[np.interp([100, 200, 300], [100, 100 + 200 / e**0.5, 301], [4, 2, 1]) for e in EXPERTS[1:]]])
    known = dict(loss_train=np.ones((2, 7)), seconds_per_step=np.array([1 + EXPERTS / 640, 2 + EXPERTS / 640]),
                 peak_bytes=np.tile(1e6 + 1600 * EXPERTS, (2, 1))) | runs
    return results.Table("", "softmax", 1, EXPERTS, [1, 2], np.ones((2, 7, 1)), steps, curves, 1e3,
                         1e4, 500 + 100 * EXPERTS, known, [])


def test_speed_ups_in_steps_and_in_time():
    found = costs.measure(table())
    assert found.steps[0] == 1 and np.all(np.diff(found.steps) > 0)
    assert found.steps[-1] == saturation.speed_up(table().steps, table().curves, EXPERTS)
    assert found.wall == pytest.approx(found.steps * (1 + 1 / 640) / (1 + EXPERTS / 640)), "the smallest seconds of the seeds count"


def test_an_unreached_loss_has_no_speed_up():
    worse = table()._replace(curves=np.tile([4.0, 3.0, 2.0], (7, 1)) + 0.1 * (EXPERTS[:, None] > 1))
    assert np.isnan(costs.measure(worse).steps[1:]).all()


def test_an_affine_memory_is_found():
    memory = costs.measure(table()).memory
    assert memory == pytest.approx((1600, 1600, 1600, 1e6, 1, 1600, False), rel=1e-6)


def bumpy(slope, noise):
    return np.tile(1e6 + slope * EXPERTS + noise * np.array([1, -1, 1, -1, 1, -1, 1]), (2, 1))


@pytest.mark.parametrize("peak,status", [
    (bumpy(1600, 0), "reproduced"), (bumpy(1640, 0), "reproduced"), (bumpy(1660, 0), "not reproduced"), (bumpy(1540, 0), "not reproduced"),
    (bumpy(1600, 5000), "direction only"), (bumpy(-10, 0), "not reproduced"), (bumpy(1600, 1e6), "direction only"),
    (bumpy(1600, -1e6), "not testable here"), (bumpy(1600, 0) + 30 * EXPERTS * (EXPERTS - 60), "not reproduced"),
    (np.full((2, 7), np.nan), "not testable here")])
def test_verdicts_on_memory(peak, status):
    assert costs.memory_linear(costs.measure(table(peak_bytes=peak)))[0] == status


@pytest.mark.parametrize("backends,status", [({"OpenMP", "Serial"}, "reproduced"), ({"unknown"}, "reproduced"),
                                             ({"OpenMP", "Cuda"}, "not testable here")])
def test_memory_of_a_gpu_is_not_that_of_the_host(backends, status):
    found, measured = costs.memory_linear(costs.measure(table()), backends)
    assert found == status and measured["slope"] == pytest.approx(1600)
    assert measured.get("why") == ("peak_bytes is host memory, the runs were made on a GPU" if "Cuda" in backends else None)


@pytest.mark.parametrize("speed,status", [((0.9, 0.85, 0.95), "reproduced"), ((0.81, 0.79, 0.9), "direction only"),
                                          ((0.7, 0.6, 0.81), "direction only"),
                                          ((0.7, 0.6, 0.79), "not reproduced"), ((math.nan,) * 3, "not testable here")])
def test_verdicts_on_speed(speed, status):
    assert costs.speed_holds(costs.measure(table())._replace(speed=Interval(*speed)))[0] == status


def test_speed_by_hand_and_what_it_needs():
    found = costs.measure(table(seconds_per_step=np.array([[1, 2, 2, 2, 2, 2, 1.25], [1.5, 2, 2, 2, 2, 2, 1.2]])))
    assert found.speed == pytest.approx((1 / 1.2, 1 / 1.25, 1.5 / 1.2))
    short = table()._replace(experts=EXPERTS + 1)
    assert "needs both E = 1 and E = 64" in costs.speed_holds(costs.measure(short))[1]["why"]
    assert "lack seconds_per_step" in costs.speed_holds(costs.measure(table(seconds_per_step=np.full((2, 7), np.nan))))[1]["why"]
