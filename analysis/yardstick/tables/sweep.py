"""`yardstick.sweep(folder)`: every evaluation of every finished run of a sweep as one pandas table, with what the runs' configurations
differ in."""
import pathlib
import re
import warnings

import numpy as np
import pandas as pd

from ..base.faults import RecordWarning, SchemaError
from ..records import schema
from ..records.run_folder import Segments
from ..sweeps import results

DENSE_NAN = ("max_vio", "max_vio_floor")  # of a dense model, which the schema says; programs up to 0.1.0 write 0 for one expert


def _value(text):
    """A configuration's value as a number or truth where it is one."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text.strip("\"'")


def options(config):
    """section.key -> value of the text of a configuration as the program records it: every option on a line of its section."""
    found, section = {}, ""
    for line in str(config).splitlines():
        head, entry = re.match(r"(\w+):", line), re.match(r"[ \t]+(\w+):[ \t]*([^#\n]*)", line)
        if head:
            section = head[1]
        elif entry and section:
            found[f"{section}.{entry[1]}"] = _value(entry[2].strip())
    return found


def options_of_run(folder):
    """The options of a run, of its last segment that says them; none where it cannot be read."""
    try:
        heads = Segments(folder).heads.values()
    except SchemaError:
        return {}
    return next((found for head in reversed(list(heads)) if (found := options(head.attrs.get("config", "")))), {})


def differing(configurations):
    """Names of the options in which configurations differ, in their order; one that only some have differs."""
    names = dict.fromkeys(name for found in configurations for name in found)
    return [n for n in names if len({repr(found.get(n)) for found in configurations if found}) > 1]


def _ordered(frame):
    """The table with its columns in the order of the schema, and without an imbalance where there is one expert, the dense model."""
    known = [c for c in schema.KINDS["switchyard-results"].variables if c in frame]
    frame = frame[known + [c for c in frame if c not in known]].copy()
    for name in DENSE_NAN if "num_experts" in frame else ():
        if name in frame:
            frame.loc[frame["num_experts"] == 1, name] = np.nan
    return frame


def _long(frame, blocks):
    """A row for each block of held-out text in place of a column."""
    long = frame.melt([c for c in frame if c not in blocks], blocks, "block", results.BLOCK)
    long["block"] = long["block"].str.removeprefix(f"{results.BLOCK}_").astype(int)
    return long.sort_values(["task", "step", "block"] if "task" in long else ["step", "block"], kind="stable", ignore_index=True)


def _saved(kept, name):
    """The column of an option in results.h5, truths as such; missing where it has none."""
    if name not in kept:
        return [np.nan] * len(kept)
    return kept[name].astype(bool) if kept[name].dtype == np.uint8 else kept[name]


def sweep(folder, columns=None, blocks=False):
    """A row for each evaluation of each finished run of a sweep (its folder, or a results.h5): the columns of results.h5
    (docs/record-schema.md), texts as text, MaxVio of the dense model NaN; `run_folder`, what `yardstick.open` takes; and a column for every
    option of the configuration in which the runs differ, by its name as in "moe.bias_rate". What all share is in the attribute `shared` of
    the table, columns=["train.steps", …] adds more. With blocks=True there is a row for each block of the held-out text, with its
    `block_loss`.

    Where the configuration of a run cannot be read, its options are missing, with a RecordWarning. Raises SchemaError where there is no
    results.h5, RecordError where it is damaged."""
    place = pathlib.Path(folder)
    path = place if place.suffix in results.SUFFIXES and place.is_file() else results.of_sweep(place)
    frame = _ordered(results.rows(path))
    losses = [c for c in frame if c.startswith(f"{results.BLOCK}_")]
    frame = _long(frame, losses) if blocks and losses else frame.drop(columns=losses)
    if results.FOLDER not in frame:
        return frame
    settings = [c for c in frame if "." in c]  # since schema 7; the configurations say the same, and texts and lists
    kept, frame = frame[settings], frame.drop(columns=settings)
    frame[results.FOLDER] = [str(path.parent / name) for name in frame[results.FOLDER]]
    found = {name: options_of_run(name) for name in frame[results.FOLDER].unique()}
    missing = [name for name, options in found.items() if not options]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        note = f"{missing[0]}{more}: its configuration cannot be read, so that columns of options lack it."
        warnings.warn(note, RecordWarning, stacklevel=2)
    differ = differing(list(found.values()))
    unknown = [c for c in columns or [] if c not in kept and not any(c in options for options in found.values())]
    if unknown:
        raise SchemaError(f"{path}: no configuration of its runs has {', '.join(unknown)}; give options as in train.learning_rate")
    names = dict.fromkeys([*differ, *(n for n in settings if missing and kept[n].nunique() > 1), *(columns or [])])
    values = {n: [found[run].get(n, saved) for run, saved in zip(frame[results.FOLDER], _saved(kept, n))] for n in names}
    frame = pd.concat([frame, pd.DataFrame(values, index=frame.index)], axis=1)
    frame.attrs["shared"] = {n: v for options in found.values() for n, v in options.items() if n not in differ}
    return frame
