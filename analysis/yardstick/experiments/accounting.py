"""`yardstick accounting FOLDER`: are the parameters that `switchyard check` and `plan` count those of published models, to the last one?"""
import pathlib
import re
from typing import NamedTuple

from ..base import reading
from ..base.faults import SchemaError
from ..verdicts import acceptance, claims

# What `check` prints in one line, and `plan --parameters` in two.
LINES = re.compile(r"^parameters\s+(.+?) in all(?:, (.+?) active for a token|"
                   r"\nactive for a token\s+(.+?) with embedding and head in full)$", re.MULTILINE)


class Model(NamedTuple):
    """A published model: parameters in all and active for a token, counted from its configuration with both embeddings. planned: it cannot
    be trained, so `switchyard plan` counts it."""
    name: str
    total: int
    active: int
    planned: bool = False


MODELS = {"mixtral-8x7b": Model("Mixtral 8×7B", 46_702_792_704, 12_879_925_248),
          "deepseek-v2": Model("DeepSeek-V2", 235_741_434_880, 21_375_800_320, True),
          "deepseek-v3": Model("DeepSeek-V3", 671_026_419_200, 37_552_297_472, True)}


def configuration(model, stem):
    """Its file, from the folder of the experiment."""
    return f"../known-models/{stem}.yaml" if model.planned else f"{stem}.yaml"


def counts(model, path):
    """(all, active) parameters in what the program printed; None where it printed rounded ones."""
    config = path.parent / configuration(model, path.stem)
    advice = f"make it with switchyard {f'plan {config} --parameters' if model.planned else f'check {config}'} > {path}"
    found = LINES.search(reading.read_text(path, advice))
    if not found:
        raise SchemaError(f"{path}: has no line of parameters; {advice}")
    whole = [text.replace(",", "") for text in found.groups() if text]
    return tuple(map(int, whole)) if all(re.fullmatch("[0-9]{1,30}", text) for text in whole) else None


def verdict(model, found):
    """(status, measured) of a model of which the program counts `found`, or None."""
    published = dict(published_total=model.total, published_active=model.active)
    if found is None:
        return claims.untested("the program printed rounded counts, not integers", **published)
    return "reproduced" if found == (model.total, model.active) else "not reproduced", dict(total=found[0], active=found[1]) | published


def make(folder, command=""):
    """Writes FOLDER/acceptance.json from FOLDER/MODEL.txt of every model; returns its text."""
    folder, made = pathlib.Path(folder), []
    for stem, model in MODELS.items():
        found = verdict(model, counts(model, folder / f"{stem}.txt"))
        made.append(claims.entry("accounting", found, None, [configuration(model, stem), f"{stem}.txt"], model.name))
    acceptance.write(folder / "acceptance.json", made, command, acceptance.commit())
    return acceptance.text(made)
