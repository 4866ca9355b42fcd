"""Parameters of published models: exact integers, nothing less."""
import json

import pytest

from yardstick.cli import main

TOTAL, ACTIVE = 46702792704, 12879925248


def check(folder, total, active):
    (folder / "mixtral-8x7b.txt").write_text(f"parameters              {total} in all, {active} active for a token\ntokens 4.10 M\n")
    assert main(["accounting", str(folder)]) == 0
    return json.loads((folder / "acceptance.json").read_text())


@pytest.mark.parametrize("total,active,status", [
    (TOTAL, ACTIVE, "reproduced"), (f"{TOTAL:,}", f"{ACTIVE:,}", "reproduced"), (TOTAL + 1, ACTIVE, "not reproduced"),
    (TOTAL, ACTIVE - 1, "not reproduced"),
    ("46.7 G", "12.9 G", "not testable here")])
def test_only_the_integers_count(tmp_path, total, active, status):
    made = check(tmp_path, total, active)
    assert made[0]["status"] == status and [m["label"] for m in made] == ["Mixtral 8×7B", "DeepSeek-V2", "DeepSeek-V3"]
    assert all(m["status"] == "not testable here" and "latent attention" in m["measured"]["why"] for m in made[1:])


@pytest.mark.parametrize("text,complaint", [(None, "no such file"), ("nothing", "no line of parameters")])
def test_other_files_say_so(tmp_path, capsys, text, complaint):
    if text:
        (tmp_path / "mixtral-8x7b.txt").write_text(text)
    assert main(["accounting", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert complaint in said and "switchyard check" in said
