"""The placement file, written and read: docs/placement.md says what it may hold."""
import re

import numpy as np

from ..base import reading, writing
from ..base.faults import SchemaError
from ..base.text import plain

ADVICE = "give a file that `yardstick placement` wrote for a model with these blocks and experts"
LAYER = re.compile(r"([0-9]{1,9})[ ]*:\s*\[([^][:{}]*)\]", re.ASCII)
NUMBER = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


def text_of(orders, head):
    """The text of a placement file: `head`, lines of its comment, then a line for each mixture layer, {block: (E,) experts by place}."""
    lines = [f"# {plain(line)}".rstrip() for line in head]
    lines += [f"{block}: [{', '.join(map(str, np.asarray(order).tolist()))}]" for block, order in sorted(orders.items())]
    return "\n".join(lines) + "\n"


def write(path, orders, head):
    writing.write_text(path, text_of(orders, head))


def _layer(path, block, listed, experts):
    """The checked list of one block."""
    place = f"{path}: block {block}"
    words = [word.strip() for word in listed.split(",")] if listed.strip() else []
    wrong = next((word for word in words if not NUMBER.fullmatch(word)), None)
    if wrong is not None:
        raise SchemaError(f"{place}: '{plain(wrong, 40)}' is no expert; {ADVICE}")
    order = [int(word) for word in words]
    if len(order) != experts:
        raise SchemaError(f"{place}: lists {len(order)} experts, but the block has {experts}; {ADVICE}")
    beyond = next((e for e in order if e >= experts), None)
    if beyond is not None:
        raise SchemaError(f"{place}: lists expert {beyond}, but the block has experts 0 to {experts - 1}; {ADVICE}")
    twice = next((e for i, e in enumerate(order) if e in order[:i]), None)
    if twice is not None:
        raise SchemaError(f"{place}: lists expert {twice} twice; each stands once; {ADVICE}")
    return np.array(order, np.int64)


def parse(text, path, experts):
    """As `read`, of a text; path: what errors name."""
    bare = "\n".join(re.sub(r"(^|\s)#.*", "", line) for line in text.splitlines())
    found, at = {}, 0
    for match in LAYER.finditer(bare):
        block = int(match[1])
        if bare[at:match.start()].strip() or (found and "\n" not in bare[at:match.start()]) or bare[:match.start()].rpartition("\n")[2]:
            break
        if block in found:
            raise SchemaError(f"{path}: lists block {block} twice; {ADVICE}")
        if block not in experts:
            raise SchemaError(f"{path}: lists block {block}, which is no mixture of experts "
                              f"(those are {', '.join(map(str, sorted(experts)))}); {ADVICE}")
        found[block], at = _layer(path, block, match[2], experts[block]), match.end()
    rest = bare[at:].strip()
    if rest:
        raise SchemaError(f"{path}: '{plain(rest.splitlines()[0], 40)}' is no line BLOCK: [EXPERT, EXPERT, ...]; {ADVICE}")
    missing = sorted(set(experts) - set(found))
    if missing:
        raise SchemaError(f"{path}: lists no block {', '.join(map(str, missing))}; every mixture of experts has its line; {ADVICE}")
    return found


def read(path, experts):
    """{block: (E,) experts by place} of a placement file for a model whose mixtures of experts are {block: E}. SchemaError with the file
    and the block where a layer is missing, unknown or there twice, or its list is no permutation of its experts."""
    return parse(reading.read_text(path, ADVICE), path, experts)
