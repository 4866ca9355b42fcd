"""Text that came from data, read back by small readers of Markdown and csv: what is shown is the text, and nothing of it is markup."""
import csv
import io
import itertools
import random
import re
import string
import sys
import unicodedata
from urllib.parse import unquote

import pandas as pd
import pytest

from yardstick.base import text, writing


def words(alphabet, most):
    return map("".join, itertools.chain.from_iterable(itertools.product(alphabet, repeat=n) for n in range(1, most + 1)))


def code_of(shown):
    """The text of a line that is one code span, by CommonMark 0.31, 6.1."""
    fence = re.match("`+", shown)[0]
    end = next(run.start() for run in re.finditer("`+", shown[len(fence):]) if run[0] == fence) + len(fence)
    assert end + len(fence) == len(shown)
    inside = shown[len(fence):end]
    return inside[1:-1] if inside.strip(" ") and inside[0] == inside[-1] == " " else inside


def test_any_code_is_itself():
    for given in words("` a\\", 5):
        assert code_of(text.code(given)) == given, given


def unescaped(shown):
    """(text, places of signs that no backslash makes plain) of Markdown words, by CommonMark 0.31, 2.4."""
    found, free, i = "", [], 0
    while i < len(shown):
        escape = shown[i] == "\\" and shown[i + 1:i + 2] and shown[i + 1] in string.punctuation
        i += escape
        if not escape:
            free.append(len(found))
        found, i = found + shown[i], i + 1
    return found, free


BLOCKS = re.compile(r" {0,3}(#{1,6}( |$)|([-+*]|\d{1,9}[.)])( |$)|>|```|~~~|<|[=-]+ *$|([-_*] *){3,}$|\[([^\]\\]|\\.)+\]:)| {4}")


def markup_of(shown):
    """What a Markdown reader may take for markup in words that begin a line or stand in a cell: None where nothing."""
    found, free = unescaped(shown)
    if BLOCKS.match(shown) or any(found[i] in "\\`*<>|~$" for i in free):
        return "a sign"
    for i in free:
        near = found[i - 1:i] if i else "", found[i + 1:i + 2]
        if found[i] == "_" and not all(side.isalnum() for side in near):
            return "emphasis"
        if found[i] == "]" and near[1] and near[1] in "([:":
            return "a link"
        if found[i] == "&" and re.match(r"&(#\w+|\w+);", found[i:]):
            return "an entity"
    return None


def test_words_of_every_short_text_are_itself_and_no_markup():
    for given in words(" #-+1.)=_a[](:&;|<\\", 3):
        shown = text.markdown(given)
        assert markup_of(shown) is None, (given, shown)
        assert unescaped(shown)[0] == given.strip(" "), (given, shown)


@pytest.mark.parametrize("seed", range(5))
def test_words_of_longer_texts(seed):
    rng = random.Random(seed)
    for _ in range(3000):
        given = "".join(rng.choice(" #-+*12.)>=_~`[]():&;lt|<a$\\\u00e9") for _ in range(rng.randint(4, 12)))
        shown = text.markdown(given)
        assert markup_of(shown) is None and unescaped(shown)[0] == given.strip(" "), (given, shown)


def link_of(shown):
    """(label, path) of a line that is one link: its brackets balance, the first that closes stands before the path."""
    depth, i = 0, 0
    while True:
        assert i < len(shown), "no link"
        if shown[i] == "\\":
            i += 1
        elif shown[i] in "[]":
            depth += 1 if shown[i] == "[" else -1
            if depth == 0:
                break
        i += 1
    path = re.fullmatch(r"\(([^\s()<>]*)\)", shown[i + 1:])
    assert path, "no path"
    return unescaped(shown[1:i])[0], unquote(path[1])


def test_every_label_and_path_of_a_link():
    for given in words("[]()a\\`", 4):
        assert link_of(text.link(given, "x")) == (given, "x"), given
        assert link_of(text.link("x", given)) == ("x", given), given
    assert link_of(text.link("a", "\u00e9 %20?#~/x")) == ("a", "\u00e9 %20?#~/x")


def test_a_block_ends_where_it_ends():
    for given in words("`a ", 4):
        shown = text.block([given, "", given])
        fence = re.match("`{3,}", shown[0])[0]
        ends = [i for i, line in enumerate(shown[1:], 1) if re.fullmatch(f" {{0,3}}`{{{len(fence)},}} *", line)]
        assert ends == [4] and shown[1:-1] == [given, "", given]


def test_no_sign_hides_or_turns_others():
    """Of every code point: controls, marks of direction, joiners, and what is not assigned are shown as a sign."""
    for point in itertools.chain(range(0x3000), range(0xd7f0, 0x10000), range(0x10000, sys.maxunicode + 1, 97), [0xe0001, 0xe0020]):
        sign = chr(point)
        for shown in (text.plain(sign), text.lines(sign)):
            assert shown.isprintable() or unicodedata.category(shown) == "Zs" or (shown == sign and sign in "\n\t"), hex(point)
        assert text.plain(sign) == sign or not sign.isprintable()
    for turning in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u200d\ufeff\x1b\x9b\ud800\ue000":
        assert text.plain(f"a{turning}b") == "a\ufffdb"
    assert text.plain("a\nb\rc\td\u2028e\u2029f") == "a\u21b5b\u240dc\u21e5d e f"


@pytest.mark.parametrize("given,shown", [("a\r\nb\n", "a\nb\n"), ("a\tb\r", "a\tb\u240d"), ("\n\n", "\n\n"), ("", ""), (7, "7")])
def test_lines_and_tabs_stay(given, shown):
    assert text.lines(given) == shown


def test_long_text_is_cut_and_says_so():
    for most in range(1, 8):
        for length in range(9):
            shown = text.plain("x" * length, most)
            assert shown == ("x" * length if length <= most else "x" * (most - 1) + "\u2026") and len(shown) <= most


def read_back(path):
    return list(csv.reader(io.StringIO(path.read_bytes().decode(), newline="")))


@pytest.mark.parametrize("seed", range(10))
def test_a_table_of_any_text_is_read_back_by_another_reader(tmp_path, seed):
    rng = random.Random(seed)
    cells = ["".join(rng.choice("=+-@\t\r\n,\"' a1\u00e9;") for _ in range(rng.randint(0, 5))) for _ in range(40)]
    numbers = [rng.uniform(-5, 5) for _ in cells]
    writing.write_table(tmp_path / "t.csv", pd.DataFrame({"=n": cells, "+v": numbers, "k": range(-20, 20)}))
    head, *rows = read_back(tmp_path / "t.csv")
    assert head == ["'=n", "'+v", "k"]
    for given, number, count, (shown, value, whole) in zip(cells, numbers, range(-20, 20), rows, strict=True):
        formula = len(given) > 1 and given[0] in "=+-@\t"
        assert shown == "'" * formula + given.replace("\r", "\u240d") and float(value) == number and int(whole) == count
        assert len(shown) < 2 or shown[0] not in "=+-@\t\r", "a spreadsheet would compute it"


def test_numbers_of_a_table_have_the_digits_that_were_asked_for(tmp_path):
    table = pd.DataFrame(dict(x=[1 / 3, -1e-9, float("inf"), float("nan")], n=pd.array([1, None, 3, 4], "Int64"), t=[True, False] * 2))
    writing.write_table(tmp_path / "t.csv", table, "%.3g")
    assert read_back(tmp_path / "t.csv") == [["x", "n", "t"], ["0.333", "1", "True"], ["-1e-09", "", "False"], ["inf", "3", "True"],
                                            ["", "4", "False"]]
