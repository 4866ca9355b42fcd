"""`yardstick accounting FOLDER`: are the parameters that `switchyard check` counts those of published models, to the last one?"""
import pathlib
import re
from typing import NamedTuple

from ..base import reading
from ..base.faults import SchemaError
from ..verdicts import acceptance, claims

LATENT = "its multi-head latent attention is not in the program"
LINE = re.compile(r"^parameters\s+(.+?) in all, (.+?) active for a token$", re.MULTILINE)


class Model(NamedTuple):
    """A published model: parameters in all and active for a token, counted from its configuration with both embeddings. absent: why the
    program cannot count it."""
    name: str
    total: int
    active: int
    absent: str = ""


MODELS = {"mixtral-8x7b": Model("Mixtral 8×7B", 46_702_792_704, 12_879_925_248),
          "deepseek-v2": Model("DeepSeek-V2", 235_741_434_880, 21_375_800_320, LATENT),
          "deepseek-v3": Model("DeepSeek-V3", 671_026_419_200, 37_552_297_472, LATENT)}


def counts(path):
    """(all, active) parameters in what `switchyard check` printed; None where it printed rounded ones."""
    advice = f"make it with switchyard check {path.with_suffix('.yaml')} > {path}"
    found = LINE.search(reading.read_text(path, advice))
    if not found:
        raise SchemaError(f"{path}: has no line of parameters; {advice}")
    whole = [text.replace(",", "") for text in found.groups()]
    return tuple(map(int, whole)) if all(re.fullmatch("[0-9]{1,30}", text) for text in whole) else None


def verdict(model, found):
    """(status, measured) of a model of which the program counts `found`, or None."""
    published = dict(published_total=model.total, published_active=model.active)
    if model.absent:
        return claims.untested(model.absent, **published)
    if found is None:
        return claims.untested("switchyard check printed rounded counts, not integers", **published)
    return "reproduced" if found == (model.total, model.active) else "not reproduced", dict(total=found[0], active=found[1]) | published


def make(folder, command=""):
    """Writes FOLDER/acceptance.json from FOLDER/MODEL.txt of every model that the program can express; returns its text."""
    folder, made = pathlib.Path(folder), []
    for stem, model in MODELS.items():
        files = [] if model.absent else [f"{stem}.yaml", f"{stem}.txt"]
        made.append(claims.entry("accounting", verdict(model, None if model.absent else counts(folder / f"{stem}.txt")),
                                 None, files, model.name))
    acceptance.write(folder / "acceptance.json", made, command, acceptance.commit())
    return acceptance.text(made)
