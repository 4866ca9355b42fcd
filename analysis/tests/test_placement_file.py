"""The placement file: what is written is read, and every fault of one has its sentence."""
import numpy as np
import pytest

from yardstick.base.faults import SchemaError
from yardstick.placement import placement_file

EXPERTS = {1: 4, 3: 3}
GOOD = "# a comment\n1: [2, 0, 3, 1]\n3: [0, 2, 1]\n"


def lists(found):
    return {block: order.tolist() for block, order in found.items()}


def test_what_is_written_is_read(tmp_path):
    orders = {5: np.random.default_rng(0).permutation(512), 0: np.array([1, 0]), 12: np.array([0])}
    path = tmp_path / "deep/p.yaml"
    placement_file.write(path, orders, ["made by it", "# of\nanother: [1] line"])
    assert lists(placement_file.read(path, {5: 512, 0: 2, 12: 1})) == lists(orders)
    lines = path.read_text().splitlines()
    assert lines[:2] == ["# made by it", "# # of\u21b5another: [1] line"] and [line.split(":")[0] for line in lines[2:]] == ["0", "5", "12"]


@pytest.mark.parametrize("text", [GOOD, "3: [0,2,1] # end\n\n1: [ 2,0,\n  3, # inside\n  1 ]", "\ufeff1:  [2, 0, 3, 1]\r\n3: [0, 2, 1]\r\n",
                                  "1 : [2, 0, 3, 1]\n3:\n  [0, 2, 1]\n"],
                         ids=["as written", "over lines", "of an editor", "spaces"])
def test_forms_that_mean_the_same(tmp_path, text):
    (tmp_path / "p.yaml").write_text(text, newline="")
    assert lists(placement_file.read(tmp_path / "p.yaml", EXPERTS)) == {1: [2, 0, 3, 1], 3: [0, 2, 1]}


WRONG = {
    "one missing": ("1: [2, 0, 3, 1]\n", "lists no block 3; every mixture of experts has its line"),
    "nothing": ("# only a comment\n", "lists no block 1, 3;"),
    "an unknown one": (GOOD + "2: [0]\n", "lists block 2, which is no mixture of experts (those are 1, 3)"),
    "a block twice": (GOOD + "1: [0, 1, 2, 3]\n", "lists block 1 twice"),
    "too few": (GOOD.replace("3, 1]", "1]"), "block 1: lists 3 experts, but the block has 4"),
    "none": (GOOD.replace("0, 2, 1", ""), "block 3: lists 0 experts, but the block has 3"),
    "too many": (GOOD.replace("2, 1]", "2, 1, 2]"), "block 3: lists 4 experts, but the block has 3"),
    "an expert twice": (GOOD.replace("[2, 0", "[0, 0"), "block 1: lists expert 0 twice"),
    "an expert that is none": (GOOD.replace("[2, 0", "[4, 0"), "block 1: lists expert 4, but the block has experts 0 to 3"),
    "below 0": (GOOD.replace("[2, 0", "[-2, 0"), "block 1: '-2' is no expert"),
    "a fraction": (GOOD.replace("[2, 0", "[2.0, 0"), "block 1: '2.0' is no expert"),
    "a leading 0": (GOOD.replace("[2, 0", "[02, 0"), "block 1: '02' is no expert"),
    "a gap": (GOOD.replace("[2, 0", "[2, , 0"), "block 1: '' is no expert"),
    "two on a line": ("1: [2, 0, 3, 1] 3: [0, 2, 1]\n", "'3: [0, 2, 1]' is no line BLOCK: [EXPERT, EXPERT, ...]"),
    "an indented one": ("1: [2, 0, 3, 1]\n  3: [0, 2, 1]\n", "'3: [0, 2, 1]' is no line"),
    "a block by name": ("one: [0]\n" + GOOD, "'one: [0]' is no line"),
    "an open list": (GOOD + "4: [0, 1", "'4: [0, 1' is no line"),
    "a list of lists": ("1: [[2, 0], [3, 1]]\n", "'1: [[2, 0], [3, 1]]' is no line"),
    "words": (GOOD + "placement: contiguous\n", "'placement: contiguous' is no line")}


@pytest.mark.parametrize("text,said", WRONG.values(), ids=WRONG)
def test_a_fault_has_its_sentence(tmp_path, text, said):
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(SchemaError) as error:
        placement_file.read(tmp_path / "p.yaml", EXPERTS)
    assert said in str(error.value) and str(error.value).startswith(f"{tmp_path}/p.yaml: ") and "give a file that" in str(error.value)
    assert error.value.code == 2 and "\n" not in str(error.value)


def test_no_file_and_no_text(tmp_path):
    with pytest.raises(SchemaError, match="no such file; give a file that `yardstick placement` wrote"):
        placement_file.read(tmp_path / "none", EXPERTS)
    (tmp_path / "b").write_bytes(b"1: [\xff]")
    with pytest.raises(SchemaError, match="not UTF-8"):
        placement_file.read(tmp_path / "b", EXPERTS)
