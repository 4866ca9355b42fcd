"""The examples of a page of the docs, to be run as they stand."""
import pathlib
import re

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def examples(page):
    """The fenced Python blocks of a page, in their order."""
    return re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
