"""docs/analysis.md as its readers take it: every example in its order, from one folder."""
import importlib.util
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from documented import DOCS, examples
from page_fixture import EXPERTS, write_page

BLOCKS = examples("analysis.md")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The names that the examples leave, and how many figures they drew."""
    plt.switch_backend("Agg")
    names, root = {}, write_page(tmp_path_factory.mktemp("page"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for block in BLOCKS:
            if "to_parquet" not in block or importlib.util.find_spec("pyarrow"):
                exec(block, names)
    names["figures"] = len(plt.get_fignums())
    plt.close("all")
    return names


def test_every_question_has_its_answer(found):
    assert found["figures"] == 3
    assert found["load"]["step"].unique().tolist() == [1, 11, 21, 31] and set(found["load"]["expert"]) == set(range(8))
    assert found["the"].groupby("step")["share"].sum().tolist() == pytest.approx([2] * 4)
    assert np.diff(found["last"].groupby("num_experts")["loss_validation"].mean()) == pytest.approx([-0.1, -0.1], abs=0.01)
    assert found["sweep"].groupby("moe.experts").size().to_dict() == dict.fromkeys(EXPERTS, 2)
    assert len(found["rank"]) == 8 and found["rank"]["effective_rank"].between(1, 8).all()
    assert found["total"] == found["run"]["assigned"].sel(layer=3).sum()
    assert found["chosen"].dims == ("sample", "choice") and len(found["by_block"]) == 3 * 16


def test_questions_are_answered_in_three_lines():
    questions = (DOCS / "analysis.md").read_text(encoding="utf-8").split("## Five questions")[1].split("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", questions, re.DOTALL)
    assert len(blocks) == 5 and all(len(block.strip().splitlines()) <= 3 for block in blocks)


def test_the_page_is_linked():
    assert "(docs/analysis.md)" in (DOCS.parent / "README.md").read_text(encoding="utf-8")
