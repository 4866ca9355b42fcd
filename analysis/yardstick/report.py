"""`yardstick report RUN`: one self-contained HTML page and its figures as PNG."""
import base64
import json
import pathlib

import jinja2
import matplotlib.pyplot as plt
import numpy as np

from . import figures, special
from .records import open_evaluation, open_run

# name of the file, function, which dataset, what the reader sees
FIGURES = [
    ("loss", figures.loss, "run", "Training and held-out loss against the tokens trained on."),
    ("load", figures.load, "run", "Load of every expert at every step, before drop: 1 (even) is what a balanced router gives."),
    ("max_vio", figures.max_vio, "run", "The largest load above the mean. The dashed line is what uniform random routing of as many tokens would show: below it nothing can be gained."),
    ("bias", figures.bias, "run", "How the loss-free balancer moved the selection bias of each expert."),
    ("entropy", figures.entropy, "run", "How undecided the router is. The dashed line is a uniform router."),
    ("drops", figures.drops, "run", "Choices refused because an expert was full."),
    ("classes", figures.classes, "evaluation", "Which kinds of held-out tokens each expert is given, at the last evaluation. Chance is the kind's share of all tokens."),
    ("domains", figures.domains, "evaluation", "Which domains each expert is given. Chance is the domain's share of all tokens."),
    ("throughput", figures.throughput, "run", "Tokens per second of whole steps."),
    ("phases", figures.phases, "run", "Where the time of a step goes."),
    ("traffic", figures.traffic, "run", "Rows that ranks send each other at dispatch; the diagonal stays."),
]


def _facts(run):
    """What stands at the head of the page: (name, value)."""
    provenance = json.loads(run.attrs.get("provenance", "{}"))
    last = run.isel(row=-1)
    facts = [("steps", int(last["step"])), ("tokens", f"{int(last['tokens']):,}"),
             ("training loss", f"{float(run['loss_cross_entropy'][-min(20, run.sizes['row']):].mean()):.4f} nat (mean of the last rows)")]
    if run.sizes.get("evaluation", 0):
        facts.append(("held-out loss", f"{float(run['evaluation_loss'][-1]):.4f} nat"))
        bits = float(run["evaluation_bits_per_byte"][-1])
        if np.isfinite(bits):
            facts.append(("held-out bits per byte", f"{bits:.4f}"))
    facts.append(("throughput", f"{float(run['tokens_per_second'].median()):,.0f} tokens/s (median)"))
    if "experts" in run:
        facts.append(("experts by layer", ", ".join(f"block {int(b)}: {int(e)}" for b, e in zip(run["layer"].values, run["experts"].values))))
    facts += [("ranks", run.attrs.get("ranks", "?")), ("commit", run.attrs.get("commit", "?"))]
    if provenance.get("start_time"):
        facts.append(("started", provenance["start_time"]))
    return facts


def _typical(evaluation):
    """Most typical tokens of each expert by layer, or nothing."""
    if evaluation is None or "expert" not in evaluation:
        return []
    return [special.typical_tokens(evaluation, layer) for layer in range(evaluation.sizes["layer"])]


def make_report(run_folder, out=None):
    """Writes OUT/index.html (default RUN/report) and the figures beside it; returns the page's path."""
    run, evaluation = open_run(run_folder), open_evaluation(run_folder)
    out = pathlib.Path(out or pathlib.Path(run_folder) / "report")
    out.mkdir(parents=True, exist_ok=True)
    shown = []
    for name, function, source, caption in FIGURES:
        figure = function(run if source == "run" else evaluation)
        if figure is None:
            continue
        path = out / f"{name}.png"
        figure.savefig(path, dpi=120)
        plt.close(figure)
        shown.append(dict(name=name, caption=caption, data=base64.b64encode(path.read_bytes()).decode()))
    template = jinja2.Environment(loader=jinja2.PackageLoader("yardstick", "."), autoescape=True).get_template("report.html")
    page = template.render(title=pathlib.Path(run_folder).resolve().name, facts=_facts(run), figures=shown,
                           typical=_typical(evaluation), config=run.attrs.get("config", ""))
    (out / "index.html").write_text(page, encoding="utf-8")
    return out / "index.html"
