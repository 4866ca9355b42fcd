"""trained.json of `yardstick communication`: what trained routers send between nodes, before and after placement."""
import json
import pathlib

from ..base import reading, writing
from ..base.faults import SchemaError
from ..records.run_folder import option

NAMES = dict(contiguous="in order", found="placed")  # placements that are counted, in words
ADVICE = "give --counts a file that `yardstick placement --counts` wrote, or a new one"


def counts(table, taken, ranks, router):
    """The counts of a run: rows across nodes of a held-out token at dispatch, on average over its mixtures. `table`: of `measure`."""
    shapes = sorted({(layer.experts, layer.chosen.shape[1]) for layer in taken.layers})
    if len(shapes) > 1:
        raise SchemaError(f"its mixtures differ in experts and choices ({'; '.join(f'{e}, {k}' for e, k in shapes)}), so there is no one "
                          "count to give; leave --counts out")
    (experts, top_k), found = shapes[0], []
    for name, said in NAMES.items():
        row = table[(table["block"] == -1) & (table["placement"] == name) & (table["part"] == "held_out")].iloc[0]
        of = {f"{way}{unit}": round(float(row[f"{rows}_{kind}"]) / len(taken.layers), 6)
              for way, rows in (("straight", "flat"), ("by_nodes", "node")) for unit, kind in (("", "rows"), ("_bytes", "bytes"))}
        found.append(dict(router=f"{router}, trained to step {taken.steps[-1]}, experts {said}", nodes=ranks.nodes, experts=experts,
                          top_k=top_k, limit=0, **of, tokens=int(row["tokens"]), config_sha256=taken.config, commit=taken.commit))
    return found


def _same(one, other):
    return all(one.get(name) == other.get(name) for name in ("router", "nodes", "config_sha256"))


def add(path, table, taken, ranks, run):
    """Adds the counts of a run to the list in a file, in place of those of the same run and nodes."""
    path = pathlib.Path(path)
    before = reading.parse_json(reading.read_text(path, ADVICE), path, ADVICE) if path.exists() else []
    if not isinstance(before, list) or not all(isinstance(count, dict) for count in before):
        raise SchemaError(f"{path}: is no list of counts; {ADVICE}")
    mine = counts(table, taken, ranks, option(run, "moe.router") or "router")
    kept = [count for count in before if not any(_same(count, new) for new in mine)]
    writing.write_text(path, json.dumps(kept + mine, indent=1, ensure_ascii=False) + "\n")
