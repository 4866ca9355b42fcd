"""Placements of a run beside each other: what each sends between nodes on fitted and held-out tokens, as one tidy table."""
from typing import NamedTuple

import numpy as np
import pandas as pd

from .packing import greedy
from .partition import partition
from .ranks import order_of
from .traffic import random_rows, traffic

PARTS = ("held_out", "fit", "all")
NAMES = ("contiguous", "eplb", "found")
RANDOM = "random"


class Measured(NamedTuple):
    """Placements by name, each {block: order}, and the table: a row for each block (-1: all), placement and part of the tokens."""
    orders: dict
    table: pd.DataFrame


def _orders(choices, ranks, tolerance, seed):
    """{name: order} of a layer, from the tokens that are fitted."""
    load, sizes = choices.load(), ranks.sizes(choices.experts)
    return dict(contiguous=np.arange(choices.experts), eplb=order_of(greedy(load, sizes), ranks),
                found=order_of(partition(choices, ranks, tolerance, seed), ranks))


def _change(before, after, sequence):
    """(change of the sum, standard error) of rows by those before, with whole sequences as independent draws."""
    number = np.unique(sequence, return_inverse=True)[1]
    old, new = (np.bincount(number, rows) for rows in (before, after))
    total, count = old.sum(), len(old)
    if not total:
        return 0.0, 0.0
    ratio = new.sum() / total
    return ratio - 1, np.sqrt(((new - ratio * old) ** 2).sum() * count / max(count - 1, 1)) / total


def _row(name, part, tokens, rows, limited, load, change=(np.nan, np.nan)):
    flat, node, limit, moved = rows
    return dict(placement=name, part=part, tokens=tokens, flat_rows=flat, node_rows=node,
                limited_rows=limit if limited else np.nan, moved_share=moved if limited else np.nan, largest_load=load,
                change=change[0], change_error=change[1])


def _part(choices, orders, ranks, limit, part, sequence):
    """Rows of the table of one layer and part: of each placement, and of random choices; and (placement: rows by token)."""
    found, kept = [], max(1, int((choices.chosen < choices.experts).sum()))
    sent = {name: traffic(order, ranks, choices, limit) for name, order in orders.items()}
    for name, t in sent.items():
        rows = [float(t.flat.mean()), float(t.node.mean()), float(t.limited.mean()), t.moved.sum() / kept]
        found.append(_row(name, part, len(sequence), rows, limit, t.largest(), _change(sent["contiguous"].node, t.node, sequence)))
    share = np.bincount(ranks.node_of(choices.rank), minlength=ranks.nodes) / len(sequence)
    closed = random_rows(ranks, choices.experts, choices.chosen.shape[1], share, limit)
    even = ranks.sizes(choices.experts)
    found.append(_row(RANDOM, part, len(sequence), [*closed, np.nan], limit, even.max() / even.mean()))
    return found, {name: t.node for name, t in sent.items()}


def _total(table, by_token, sequences):
    """Rows of the table over all layers: rows a token summed, the largest load of any, moved choices on average."""
    found = []
    for (name, part), rows in table.groupby(["placement", "part"], sort=False):
        change = (np.nan, np.nan)
        if name != RANDOM:
            change = _change(*(sum(layer[n] for layer in by_token[part]) for n in ("contiguous", name)), sequences[part])
        found.append(dict(block=-1, placement=name, part=part, tokens=rows["tokens"].iloc[0],
                          **{c: rows[c].sum(skipna=False) for c in ("flat_rows", "node_rows", "limited_rows")},
                          moved_share=rows["moved_share"].mean(skipna=False), largest_load=rows["largest_load"].max(),
                          change=change[0], change_error=change[1]))
    return found


def measure(sampled, ranks, tolerance, limit=None, seed=0, given=None):
    """Measured of all layers. limit: nodes a token may keep; given: {block: order} of a further placement."""
    orders, rows = {}, []
    masks = dict(held_out=sampled.held_out, fit=~sampled.held_out, all=np.ones(len(sampled.held_out), bool))
    sequences, by_token = {part: sampled.sequence[mask] for part, mask in masks.items()}, {part: [] for part in PARTS}
    for layer in sampled.layers:
        mine = _orders(layer.part(masks["fit"]), ranks, tolerance, seed) | ({} if given is None else dict(given=given[layer.block]))
        for part in PARTS:
            found, tokens = _part(layer.part(masks[part]), mine, ranks, limit, part, sequences[part])
            rows += [dict(block=layer.block) | row for row in found]
            by_token[part].append(tokens)
        for name, order in mine.items():
            orders.setdefault(name, {})[layer.block] = order
    table = pd.DataFrame(rows)
    table = pd.concat([table, pd.DataFrame(_total(table, by_token, sequences))], ignore_index=True)
    for name in ("flat", "node", "limited"):
        table.insert(table.columns.get_loc("moved_share"), f"{name}_bytes", table[f"{name}_rows"] * sampled.row_bytes)
    return Measured(orders, table)
