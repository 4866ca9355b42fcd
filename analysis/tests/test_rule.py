"""The words of a verdict by docs/science.md, "Verdict words", and that every claim that has parts uses them."""
import pytest

from yardstick.law.power import Power
from yardstick.routing import routing_claim
from yardstick.verdicts import rule


@pytest.mark.parametrize("parts,seeds,status", [
    ([(True, False, True)], 3, "reproduced"), ([(True, False, True)], 2, "direction only"),
    ([(True, False, True), (False, False, True)], 3, "direction only"),
    ([(True, False, True), (False, True, True)], 3, "not reproduced"), ([(False, False, False)], 3, "not testable here")])
def test_status_by_the_words_of_the_specification(parts, seeds, status):
    found, measured = rule.verdict([rule.Part(*part) for part in parts], dict(a=1), seeds)
    assert found == status and measured["a"] == 1 and measured["seeds"] == seeds
    assert ("why" in measured) == (status == "not testable here")


def test_without_seeds_none_are_asked_for():
    assert rule.verdict([rule.Part(True, False, True)], {}) == ("reproduced", {})
    assert rule.verdict([rule.Part(False, False, False)], {}, why="unclear") == ("not testable here", dict(why="unclear"))


@pytest.mark.parametrize("seeds,status", [
    (["yes"] * 3, "reproduced"), (["yes"] * 2, "direction only"), (["yes", "yes", "sign"], "direction only"),
    (["yes", "yes", "no"], "not reproduced"), (["yes", "wrong", "no"], "not reproduced"), (["yes", "yes", "wrong"], "not testable here")])
def test_a_seed_with_a_wrong_sign_and_no_interval_against_it_settles_nothing(seeds, status):
    assert rule.status([routing_claim.PARTS[seed] for seed in seeds], len(seeds)) == status


WEAK, STRONG = (Power(met, 3, 0.04, 0.1, None, 0.01) for met in (0.49, 0.5))
HOLDS, OPEN, BROKEN, WRONG = (rule.Part(*part) for part in ((True, False, True), (False, False, True), (False, True, False),
                                                            (False, False, False)))


@pytest.mark.parametrize("parts,power,known,status", [
    ([HOLDS], WEAK, True, "reproduced"), ([BROKEN, OPEN], WEAK, False, "not reproduced"), ([OPEN], WEAK, True, "underpowered"),
    ([WRONG], WEAK, True, "underpowered"), ([OPEN], STRONG, True, "direction only"), ([OPEN], STRONG, False, "not resolved"),
    ([HOLDS], STRONG, False, "not resolved"), ([HOLDS], WEAK, False, "underpowered"), ([WRONG], None, True, "not testable here")])
def test_status_by_corrected_rules(parts, power, known, status):
    """What holds or is excluded with its whole interval is said whatever the power; what is open, is so for want of power first."""
    found, measured = rule.corrected(parts, dict(a=1), 3, power, known)
    assert found == status and measured["a"] == 1 and measured["seeds"] == 3
    assert rule.corrected([HOLDS], {}, 2)[0] == "direction only"
