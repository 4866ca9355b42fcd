"""Text that came from data, made safe where it is shown: no reader takes any of it for markup, and no sign in it hides or turns others."""
import re
import unicodedata
from urllib.parse import quote

SIGN = "\ufffd"                                       # for what cannot be shown
SIGNS = {"\n": "\u21b5", "\r": "\u240d", "\t": "\u21e5"}
MARKUP = re.compile(  # of Markdown; "_" between letters is none, nor are brackets and "&" that nothing follows
    r"[\\`*<>|~$]|](?=[(\[:])|&(?=#|\w+;)|(?<![^\W_])_|_(?![^\W_])|^[#+=-]")
LABEL = re.compile(MARKUP.pattern + r"|[][]")         # of a link, where brackets of its own would end it
NUMBER = re.compile(r"^([0-9]{1,9})([.)])(?= |$)")    # that begins a list
FORMULA = ("=", "+", "-", "@", "\t")                  # what a spreadsheet takes for the start of one


def plain(text, most=None):
    """One line without control, format (right-to-left marks, joiners) and unassigned characters; longer than `most` it is cut."""
    text = "".join(SIGNS.get(c, SIGN if unicodedata.category(c)[0] == "C" else " " if unicodedata.category(c) in ("Zl", "Zp") else c)
                   for c in str(text))
    return text if most is None or len(text) <= most else text[:most - 1] + "\u2026"


def lines(text):
    """As `plain`, but with its lines and tabs."""
    return "\n".join("\t".join(map(plain, line.split("\t"))) for line in str(text).replace("\r\n", "\n").split("\n"))


def markdown(text, signs=MARKUP):
    """As plain words of a Markdown page, also at the start of a line and in the cell of a table; spaces at the ends, which a page does not
    show but at the start of a line takes for code, are left out."""
    return NUMBER.sub(r"\1\\\2", signs.sub(lambda found: "\\" + found[0], plain(text).strip(" ")))


def code(text):
    """As code within a line of Markdown, for which its fence is longer than any run of ` in it."""
    text = plain(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    taken = text.strip(" ") and text[0] == text[-1] == " "  # of which a reader takes one away on both sides
    pad = " " * bool(taken or "`" in (text[:1], text[-1:]))
    return f"{fence}{pad}{text}{pad}{fence}" if text else "``"


def block(rows):
    """Lines as a block of code of a Markdown page."""
    rows = [plain(row) for row in rows]
    fence = "`" * max(3, 1 + max((len(run) for row in rows for run in re.findall("`+", row)), default=0))
    return [fence, *rows, fence]


def link(label, path):
    """A Markdown link to a file."""
    return f"[{markdown(label, LABEL)}]({quote(str(path), safe='/~', errors='surrogateescape')})"


def cell(value):
    """A value of a csv file: text that a spreadsheet would compute is marked as text by a leading apostrophe, and a carriage return, which
    the writer does not quote though readers end the row there, is a sign."""
    if not isinstance(value, str):
        return value
    value = value.replace("\r", SIGNS["\r"])
    return f"'{value}" if len(value) > 1 and value.startswith(FORMULA) else value
