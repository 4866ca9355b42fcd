"""`yardstick findings`: what the README says was found, written from the committed files of the experiments, each sentence with the verdict
it rests on. An experiment without an entry has no sentence; a verdict that does not carry a sentence changes its words."""
import pathlib
import re
import textwrap

from ..base import reading
from ..base.faults import SchemaError
from . import acceptance_table

BEGIN, END = "<!-- begin: yardstick findings -->", "<!-- end: yardstick findings -->"
WIDTH = 140
ADVICE = "make it anew with the command of its experiment"


def _of(found, key):
    """(folder, entry) of a claim, the first where there are several; None where it has none."""
    return found[key][0] if found[key] else None


def _link(folder, words):
    return f"([{words}]({folder.as_posix()}/README.md))"


def _interval(value, limits, digits=3):
    return f"{value:.{digits}f} nat [{limits[0]:.{digits}f}, {limits[1]:.{digits}f}]".replace("-", "\N{MINUS SIGN}")


def _listed(words):
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def known_answer(found):
    if not (at := _of(found, "known-answer")):
        return None
    folder, entry = at
    answers = sorted(set(entry["measured"]["answers"].values()))
    where = f"where they must: at {_listed([str(a) for a in answers])} experts" if entry["status"] == "reproduced" else \
        f"elsewhere than they must ({entry['status']})"
    return f"In a laboratory whose answer is known, gains end {where} {_link(folder, 'known answer')}."


def law(found):
    if not (at := _of(found, "fit-code")):
        return None
    folder, entry = at
    limits = entry["corrected"]["interval"] if "corrected" in entry else {}
    parts = [f"{fit['e_max']:.0f} for {name}" + (f" [{low:.0f}, {high:.0f}]" if (low := limits.get(f"{name} e_max", [None] * 2)[0]) and
                                                 (high := limits[f"{name} e_max"][1]) else "") for name, fit in entry["measured"].items()]
    return (f"In published curves, fitted anew, E_max, by which the gain of a doubling has about halved, is {_listed(parts)} "
            f"{_link(folder, 'law')}.")


def saturation(found):
    at = _of(found, "more-experts-help")
    if not at or "corrected" not in at[1]:
        return None
    folder, entry = at
    measured, limits = entry["corrected"]["measured"], entry["corrected"]["interval"]
    falls = [-measured["trend"], [-limits["trend"][1], -limits["trend"][0]]]
    said = (f"On real text at laptop scale 64 experts end {_interval(measured['gain'], limits['gain'])} below one, {_interval(*falls)} a "
            f"doubling ({_verdict(entry)})")
    bend = _of(found, "gains-diminish")
    if bend and "corrected" in bend[1]:
        corrected = bend[1]["corrected"]
        power = corrected["measured"].get("met_by_a_true_law")
        said += f"; that the gain falls with more experts: {corrected['status']} with {corrected['measured']['seeds']} seeds" + \
            (f", of which a true law would meet the rule {100 * power:.0f} times in 100 at this noise" if power is not None else "")
    return f"{said} {_link(folder, 'saturation')}."


def _verdict(entry):
    """Registered and, where there is one, corrected."""
    corrected = f", by the corrected one: {entry['corrected']['status']}" if "corrected" in entry else ""
    return f"by the registered rule: {entry['status']}{corrected}"


def _tokens(label):
    """Millions of tokens that the label of a sweep names; 0 where it names none, as of laptop scale."""
    named = re.search(r"(\d+) million tokens", label)
    return int(named[1]) if named else 0


def router_learning(found):
    folders, said = [folder for folder, _ in found["router-learns"]], []
    for _, entry in sorted(found["router-learns"], key=lambda one: _tokens(one[1]["label"])):
        if entry["interval"] is not None:
            value, limits = entry["measured"]["loss less that of hash"], entry["interval"]["difference to hash"]
            said.append(f"{_interval(value, limits)} ({entry['label'] or 'laptop scale'}: {entry['status']})")
    if not said:
        return None
    return ("What such runs say of experts is what their routers make of them: the loss of a learned router, one registered before each "
            f"sweep and not the same in all, less that of a fixed hash of the token id is {_listed(said)} "
            f"{_link(folders[0], 'router learning')}.")


def balancing(found):
    at, sizes = _of(found, "loss-free-balances"), _of(found, "quantile-balances")
    if not at or "corrected" not in at[1] or "arm" not in at[1]["corrected"]["measured"]:
        return None
    folder, entry = at
    measured = entry["corrected"]["measured"]
    ratios = [value for name, value in measured.items() if name.startswith("ratio to ")]
    shares = dict.fromkeys(f"{100 * ratio:.0f}" for ratio in (min(ratios), max(ratios)))
    said = f"Loss-free balancing at its best rate leaves {' to '.join(shares)} % of an auxiliary loss's imbalance ({_verdict(entry)})"
    if sizes and sizes[1]["interval"]:
        vio = [part["vio_by_floor"] for name, part in sizes[1]["measured"].items() if name.startswith("E = ")]
        said += (f"; quantiles hold MaxVio at {min(vio):.1f} to {max(vio):.1f} times its sampling floor from 4 to 256 experts (at most 1.5 "
                 f"was asked: {sizes[1]['status']})")
    return f"{said} {_link(folder, 'balancing')}."


SENTENCES = (known_answer, law, saturation, router_learning, balancing)


def text(folder):
    """The paragraph, from the experiments in `folder`."""
    found = acceptance_table.read(folder)
    try:
        said = [sentence for make in SENTENCES if (sentence := make(found))]
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise SchemaError(f"{folder}: an entry is not what yardstick writes ({error!r}); {ADVICE}") from error
    head = ("[Every claim with its rule, fixed beforehand, and what became of it](docs/acceptance.md); "
            "[every figure](docs/gallery.md). **How many experts are worth it?**")
    return textwrap.fill(" ".join([head, *said]), WIDTH, break_long_words=False, break_on_hyphens=False)


def page(folder, out):
    """The page `out` with the paragraph between its two marks made anew."""
    path = pathlib.Path(out)
    whole = reading.read_text(path, "give the README, which has the two marks")
    if whole.count(BEGIN) != 1 or whole.count(END) != 1 or whole.index(BEGIN) > whole.index(END):
        raise SchemaError(f"{out}: has not one line '{BEGIN}' and after it one '{END}'; the paragraph is put between them")
    before, after = whole.split(BEGIN)[0], whole.split(END)[1]
    return f"{before}{BEGIN}\n{text(folder)}\n{END}{after}"
