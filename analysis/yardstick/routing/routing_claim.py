"""Are there experts for punctuation and for numbers, in runs that differ in their seed? The claim of `yardstick specialisation`."""
import pathlib
from typing import NamedTuple

import numpy as np

from ..records import special
from ..records.run_folder import option
from ..records.sample import documents, layers_of, tally
from ..verdicts import claims, rule
from .analyses import open_records
from .context import mutual_information
from .nulls import shuffled_within
from .permuted_map import LEVEL, draws_of, largest

KEY = "punctuation-numbers"
WANTED, LIFT = ("punctuation", "digits"), 3.0
PARTS = dict(yes=rule.Part(True, False, True), no=rule.Part(False, True, False), sign=rule.Part(False, False, True),
             wrong=rule.Part(False, False, False))  # what the status of a seed says
# contiguous blocks of the sample (docs/science.md, "Saturation protocol"), bootstrap draws, shuffles of the null
BLOCKS, DRAWS, SHUFFLES = 64, 1000, 10


class Estimate(NamedTuple):
    """A value and its 95 % interval from a bootstrap over blocks of text."""
    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value, drawn):
        return cls(float(value), *(float(q) for q in np.quantile(drawn, [0.025, 0.975])))


def _tables(layer, labels, document, rng):
    """(1 + shuffles, blocks, classes, experts) choices of each block: as recorded, and shuffled within documents."""
    count, size = len(labels), len(special.CLASSES)
    block = np.arange(count) * BLOCKS // count
    order = np.argsort(document, kind="stable")
    tables = []
    for draw in range(SHUFFLES + 1):
        chosen = layer.chosen.copy()
        if draw:
            chosen[order] = layer.chosen[order][shuffled_within(document[order], rng)]
        tables.append(tally(layer._replace(chosen=chosen), block * size + labels, BLOCKS * size).reshape(BLOCKS, size, -1))
    return np.array(tables, float)


def _lift(given):
    """(..., classes, experts) share of a class among an expert's choices, over the class's share of all choices; 0 of experts
    and classes without any."""
    expected = given.sum(-2, keepdims=True) * given.sum(-1, keepdims=True) / given.sum((-2, -1), keepdims=True)
    return given / np.maximum(expected, 1e-300)


def _best(value, drawn):
    """The expert of the highest lift whose interval lies above 1, or else simply of the highest: its number and Estimate."""
    sure = np.where(np.quantile(drawn, 0.025, axis=0) > 1, value, 0)
    expert = int(np.argmax(sure if sure.any() else value))
    return expert, Estimate.of(value[expert], drawn[:, expert])


def layer_estimates(layer, labels, document, rng):
    """Of a layer: {class: (expert, Estimate of its lift)} for the wanted classes, and the Estimate of NMI minus null."""
    tables = _tables(layer, labels, document, rng)
    weights, wanted = rng.multinomial(BLOCKS, np.full(BLOCKS, 1 / BLOCKS), DRAWS).astype(float), [special.CLASSES.index(n) for n in WANTED]
    shared, shares = mutual_information(tables.sum(1))[1], np.empty((len(tables), DRAWS))
    for i, table in enumerate(tables):
        drawn = (weights @ table.reshape(BLOCKS, -1)).reshape(DRAWS, *table.shape[1:])
        shares[i] = mutual_information(drawn)[1]
        if i == 0:
            lift, lifts = _lift(table.sum(0))[wanted], _lift(drawn)[:, wanted]
    best = {name: _best(lift[c], lifts[:, c]) for c, name in enumerate(WANTED)}
    return best, Estimate.of(shared[0] - shared[1:].mean(), shares[0] - shares[1:].mean(0))


def _seed_status(layers):
    """"yes" if the rule holds in a run, "no" if its intervals exclude it, "sign" if only the sign is right, "wrong" otherwise.
    `layers` are the results of `layer_estimates`."""
    best = {name: [(classes[name][1], nmi) for classes, nmi in layers] for name in WANTED}
    if all(any(lift.value >= LIFT and lift.low > 1 and nmi.low > 0 for lift, nmi in found) for found in best.values()):
        return "yes"
    if any(all(lift.high < LIFT or nmi.high <= 0 for lift, nmi in found) for found in best.values()):
        return "no"
    right = all(any(lift.value > 1 and nmi.value > 0 for lift, nmi in found) for found in best.values())
    return "sign" if right else "wrong"


class Found(NamedTuple):
    """What a run shows: its seed, {block: results of `layer_estimates`} and {block: {class: `permuted_map.Largest`}}."""
    seed: str | None
    layers: dict
    maps: dict


def _run(folder):
    """What a run shows, or why it cannot be tested."""
    run, evaluation = open_records(folder)
    why = special.without_routing(run, evaluation)
    if why:
        return f"{folder}: {why}"
    labels = special.class_labels(evaluation)
    if len(labels) < BLOCKS:
        return f"{folder}: its held-out sample has fewer than {BLOCKS} tokens"
    for name in WANTED:  # a lift is 1 / the class's share at most
        share = float((labels == special.CLASSES.index(name)).mean())
        if not 0 < share <= 1 / LIFT:
            return f"{folder}: {share:.0%} of its held-out tokens are {name}: no expert can show lift {LIFT:g}"
    rng, document, wanted = np.random.default_rng(0), documents(evaluation)[0], [special.CLASSES.index(name) for name in WANTED]
    layers = layers_of(evaluation)
    estimates, draw = {layer.block: layer_estimates(layer, labels, document, rng) for layer in layers}, np.random.default_rng(1)
    maps = {layer.block: dict(zip(WANTED, largest(layer, evaluation["token"].values, labels, wanted, draw, draws_of(len(layers)))))
            for layer in layers}
    return Found(option(run, "train.seed"), estimates, maps)


def _meets(one, layers):
    """Whether a `Largest` of one of so many layers is 3 or more and reached by so few permuted maps as the best of these may be."""
    return one.lift >= LIFT and one.p <= LEVEL / layers


def _order(kept):
    """Puts first what says most for the claim: (a `Largest`, of how many layers)."""
    one, layers = kept
    meets = _meets(one, layers)
    return not meets, 0.0 if meets else one.p, -one.lift


def beyond_maps(found):
    """The corrected part of the claim, by the layer of every seed and class that meets it, or else the one whose largest lift the fewest
    permuted maps reach; the direction is right where these are at most one in twenty. What is measured is the weakest of the seeds'."""
    parts, measured, limits = [], {}, {}
    for name in WANTED:
        kept = [min(((by_class[name], len(run.maps)) for by_class in run.maps.values()), key=_order) for run in found]
        parts += [rule.Part(_meets(one, layers), one.p > LEVEL, one.p <= LEVEL) for one, layers in kept]
        weakest = max(kept, key=_order)[0]
        measured |= {f"{name} lift": weakest.lift, f"{name} lift of permuted maps": weakest.null_mean, f"{name} p": weakest.p}
        limits[f"{name} lift of permuted maps, mean to 95 % quantile"] = [weakest.null_mean, weakest.null_high]
    return claims.corrected(KEY, rule.corrected(parts, measured, len({run.seed for run in found})), limits)


def _described(folder, found):
    """What was found in a run, with the layers in which the rule's parts fail."""
    seed, layers = found.seed, found.layers
    blocks = {str(block): dict({name: dict(expert=expert, lift=lift._asdict(), maps=found.maps[block][name]._asdict())
                                for name, (expert, lift) in best.items()},
                               nmi_excess=nmi._asdict(),
                               fails=[name for name, (_, lift) in best.items() if lift.value < LIFT or lift.low <= 1]
                               + ["nmi"] * (nmi.low <= 0))
              for block, (best, nmi) in layers.items()}
    return dict(run=str(folder), seed=seed, status=_seed_status(list(layers.values())), blocks=blocks)


def _worst(found):
    """Of the seeds the lowest of each part, each in its best layer: {part: Estimate}."""
    parts = {f"{name} lift": [max((best[name][1] for best, _ in run.layers.values()), key=lambda e: e.value) for run in found]
             for name in WANTED}
    parts["nmi excess"] = [max((nmi for _, nmi in run.layers.values()), key=lambda e: e.value) for run in found]
    return {name: min(estimates, key=lambda e: e.value) for name, estimates in parts.items()}


def punctuation_and_number_experts(runs):
    """The entry of acceptance.json for a list of run folders, one a seed: measured has the lowest over the seeds, and every run and
    block with where it fails; interval is that of the lowest. With fewer than 3 different seeds it is "direction only" at best."""
    found = [_run(folder) for folder in runs]
    files = [str(p) for folder in runs for p in sorted(pathlib.Path(folder).glob("segments/*/evaluation.h5"))]
    why = [f for f in found if isinstance(f, str)] or ([] if found else ["no runs"])
    if why:
        return claims.entry(KEY, claims.untested("; ".join(why)), None, files)
    described = [_described(folder, f) for folder, f in zip(runs, found)]
    seeds, worst = len({run.seed for run in found}), _worst(found)
    measured = {name: estimate.value for name, estimate in worst.items()} | dict(seeds=seeds, runs=described)
    entry = claims.entry(KEY, rule.verdict([PARTS[d["status"]] for d in described], measured, seeds),
                         {name: [e.low, e.high] for name, e in worst.items()}, files)
    return entry | dict(corrected=beyond_maps(found))
