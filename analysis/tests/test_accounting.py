"""Parameters of published models: exact integers, nothing less."""
import json

import pytest

from yardstick.cli import main

TOTAL, ACTIVE = 46702792704, 12879925248


def check(folder, total, active, v3=671026419200):
    (folder / "mixtral-8x7b.txt").write_text(f"parameters              {total} in all, {active} active for a token\ntokens 4.10 M\n")
    for name, whole, used in (("deepseek-v2", 235741434880, 21375800320), ("deepseek-v3", v3, 37552297472)):
        (folder / f"{name}.txt").write_text(f"parameters              {whole:,} in all\nactive for a token      {used:,} with embedding and"
                                            " head in full\n                        1 without the input embedding\n")
    assert main(["accounting", str(folder)]) == 0
    return json.loads((folder / "acceptance.json").read_text())


@pytest.mark.parametrize("total,active,status", [
    (TOTAL, ACTIVE, "reproduced"), (f"{TOTAL:,}", f"{ACTIVE:,}", "reproduced"), (TOTAL + 1, ACTIVE, "not reproduced"),
    (TOTAL, ACTIVE - 1, "not reproduced"),
    ("46.7 G", "12.9 G", "not testable here")])
def test_only_the_integers_count(tmp_path, total, active, status):
    made = check(tmp_path, total, active)
    assert made[0]["status"] == status and [m["label"] for m in made] == ["Mixtral 8×7B", "DeepSeek-V2", "DeepSeek-V3"]
    assert all(m["status"] == "reproduced" for m in made[1:])


def test_models_that_cannot_be_trained_count_too(tmp_path):
    made = check(tmp_path, TOTAL, ACTIVE, v3=671026404352)  # without the selection bias
    assert [m["status"] for m in made] == ["reproduced", "reproduced", "not reproduced"]
    assert made[2]["files"] == ["../known-models/deepseek-v3.yaml", "deepseek-v3.txt"]


@pytest.mark.parametrize("text,complaint", [(None, "no such file"), ("nothing", "no line of parameters")])
def test_other_files_say_so(tmp_path, capsys, text, complaint):
    if text:
        (tmp_path / "mixtral-8x7b.txt").write_text(text)
    assert main(["accounting", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert complaint in said and "switchyard check" in said
