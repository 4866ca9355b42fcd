"""The rooms of yardstick: each imports only those before it, in the order that the docstring of the package and the docs state."""
import ast
import pathlib
import re

import pytest

import yardstick

PACKAGE = pathlib.Path(yardstick.__file__).parent
ROOMS = re.findall(r"^(\w+): ", yardstick.__doc__, re.MULTILINE)[1:]  # the first is the title


def imported(path):
    """Dotted names, from `yardstick` on, that a module of the package imports."""
    package = ["yardstick", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".") for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[:len(package) - node.level + 1] if node.level else []
            yield from ([*above, *(node.module or "").split("."), name.name] for name in node.names)


def rooms_imported(path):
    names = ([part for part in name if part] for name in imported(path))
    return {name[1] for name in names if name[0] == "yardstick"}


def test_every_folder_is_a_room_and_holds_all_modules():
    assert sorted(ROOMS) == sorted(p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__")
    assert sorted(p.name for p in PACKAGE.glob("*.py")) == ["__init__.py", "cli.py"]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_those_before_it(room):
    allowed = set(ROOMS[:ROOMS.index(room) + 1])
    for path in (PACKAGE / room).rglob("*.py"):
        assert rooms_imported(path) <= allowed, f"{path}: {room} may import {', '.join(sorted(allowed))}"


def test_imports_are_seen_in_every_form(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    (tmp_path / "law").mkdir()
    (tmp_path / "law/a.py").write_text("import yardstick.pages.report\nfrom yardstick import sweeps\nfrom yardstick.drawing "
                                       "import figures\n"
                                       "def f():\n    from .. import records\n    from ..routing.nulls import x\n    from . import laws\n")
    assert rooms_imported(tmp_path / "law/a.py") == {"pages", "sweeps", "drawing", "records", "routing", "law"}


def test_the_docs_state_the_same_order():
    page = (PACKAGE.parents[1] / "docs/architecture.md").read_text(encoding="utf-8")
    section = page.split("## Rooms of `analysis/yardstick`, in the layer order")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == ROOMS
