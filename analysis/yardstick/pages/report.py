"""`yardstick report RUN`: one self-contained HTML page and its figures as PNG."""
import base64
import pathlib
import warnings
from collections.abc import Callable
from typing import NamedTuple

import jinja2
import markupsafe
import numpy as np
import xarray as xr

from ..base import text, writing
from ..records import communication, hdf5, special
from ..base.faults import RecordError, RecordWarning
from ..records.run_folder import open_evaluation, open_run
from ..records.timeline import by_stage, open_timeline
from ..drawing import binned, figure_file, figures, scores, timeline_figure, training
from ..routing import analyses, routing_figures


class Entry(NamedTuple):
    """A figure of the page: the name of its file, its function, what it is called and what the reader sees."""
    name: str
    function: Callable
    title: str
    caption: str
    source: str = "run"  # or evaluation, text (the same, of dense models too), or routing: what analyses.measure found of it
    variable: str = ""   # one that segments may differ in: then it is drawn of the last segment


def _analysis(name, caption):
    """Entry of a figure of `yardstick routing`."""
    function, title = routing_figures.FIGURES[name]
    return Entry(name, function, title, caption, "routing")


SECTIONS = {
    "Training": [
        Entry("loss", figures.loss, "Loss", "Training and held-out loss against the tokens trained on."),
        Entry("loss_parts", training.loss_parts, "Parts of the loss",
              "What is added to the cross-entropy, coefficients included; parts that are 0 are left out."),
        Entry("loss_by_domain", training.loss_by_domain, "Held-out loss by domain",
              "Mean over the tokens of each domain in the held-out sample, at each evaluation.", "text"),
        Entry("learning_rate", training.learning_rate, "Learning rate", "The learning rate of each step."),
        Entry("gradient_norm", training.gradient_norm, "Gradient norm", "Of all parameters together, before clipping."),
        Entry("throughput", figures.throughput, "Throughput",
              "Tokens per second of whole steps. Dotted lines, if any, are where the run was resumed."),
        Entry("memory", training.memory, "Memory", "The largest resident memory so far, on the host, sum over ranks."),
    ],
    "Routing": [
        Entry("load", figures.load, "Load of each expert over time",
              "Load of every expert at every step, before drop: white (1) is an even load, brown more, violet less; "
              "the bar ends at 4 at most."),
        Entry("max_vio", figures.max_vio, "Imbalance: (largest load \u2212 mean) / mean",
              "How far the largest load is above the mean. The dashed line is what uniform random routing "
              "of as many tokens would show: below it nothing can be gained."),
        Entry("bias", figures.bias, "Selection bias of each expert", "How the loss-free balancer moved the selection bias of each expert."),
        Entry("entropy", figures.entropy, "Entropy of the router's scores",
              "How undecided the router is, mean over tokens. The dashed line is a uniform router."),
        Entry("margins", scores.margins, "Margin of the choice",
              "The score of the last chosen expert less that of the first refused, with the balancer's bias; and how far scores lie apart. "
              "A bias that moves by more than the margin in one step turns the choices of whole batches.", variable="margin"),
        Entry("drops", figures.drops, "Drops at the expert capacity", "Choices refused because an expert was full."),
    ],
    "Specialisation": [
        Entry("classes", figures.classes, "Token classes by expert",
              "Which kinds of held-out tokens each expert is given, at the last evaluation. "
              "Chance (0) is the kind's share of all tokens; grey experts were given none.", "evaluation"),
        Entry("domains", figures.domains, "Domains by expert",
              "Which domains each expert is given, at the last evaluation. "
              "Chance (0) is the domain's share of all tokens; grey experts were given none.", "evaluation"),
    ],
    "Routing beside chance": [
        _analysis("saturation", "Share of a token's experts that are those of the last evaluation. Chance: k of E experts at random; "
                  "null: the same loads, tokens permuted."),
        _analysis("persistence", "Share of a token's experts that it also had at the evaluation before: choices settle where it nears "
                  "100 %. Chance: k of E experts at random; null: the same loads, tokens permuted."),
        _analysis("coactivation", "Of the tokens that expert i is given, how many are given to j as well: all pairs of choices, at the "
                  "last evaluation. Chance (0) is (k\u22121)/(E\u22121)."),
        _analysis("vocabulary", "Share of a token's occurrences that go to its most frequent first expert, mean over the tokens seen at "
                  "least 10 times. Null: tokens shuffled, with the upward bias that rare tokens have; chance: 1/E."),
        _analysis("locality", "How often a token goes to the expert of the token before. Null: tokens shuffled within documents; chance: "
                  "1/E, and 1 \u2212 C(E\u2212k, k)/C(E, k) for any of the k experts."),
        _analysis("class_entropy", "How many experts the tokens of a class are spread over: ln E is all of them evenly. Null: tokens "
                  "shuffled within documents."),
        _analysis("information", "Normalised mutual information of a token's experts and its class. Null: tokens shuffled "
                  "within documents."),
        _analysis("domain_control", "Root mean square distance, over experts and domains, between an expert's share of a domain's tokens "
                  "and of all tokens; what token ids alone predict of it; and what is left. Null: the documents' "
                  "domains shuffled; chance: 0."),
    ],
    "Time and traffic": [
        Entry("phases", figures.phases, "Time by phase", "Where the time of a step goes, mean over steps.", variable="phase_seconds"),
        Entry("traffic", figures.traffic, "Rows sent at dispatch",
              "Kept choices by the rank of their expert (of ranks that share it the first), mean over steps: the rows sent at "
              "dispatch where these go straight; the diagonal stays.", variable="traffic"),
    ],
}
TIMELINE = Entry("timeline", lambda timeline: timeline_figure.draw(timeline, figures.WIDTH), "Timeline of a step", "", "timeline")
FIGURES = [entry for entries in SECTIONS.values() for entry in entries]


def _per_segment(run, values):
    """A value, or where segments differ each with its segment."""
    if len(set(values)) == 1:
        return str(values[0])
    segments = run["segment"].values
    changes = [i for i in range(len(values)) if i == 0 or values[i] != values[i - 1]]
    return ", then ".join(f"{values[i]} (from segment {segments[i]:03d}, step {int(run['step'][i])})" for i in changes)


def _experts(run):
    """How many experts the layers have."""
    blocks, counts = [int(b) for b in run["layer"].values], [int(e) for e in run["experts"].values]
    if len(set(counts)) == 1 and len(counts) > 1:
        return f"{counts[0]} in each of the blocks {', '.join(map(str, blocks))}"
    return ", ".join(f"{e} in block {b}" for b, e in zip(blocks, counts))


def _facts(run):
    """What stands at the head of the page: (name, value)."""
    started = hdf5.table_of(run.attrs, "provenance").get("start_time")
    last, mean_of = run.isel(row=-1), min(20, run.sizes["row"])
    facts = [("steps", f"{int(last['step']):,}"), ("tokens", f"{int(last['tokens']):,}"),
             ("training loss", f"{float(run['loss_cross_entropy'][-mean_of:].mean()):.4f} nat per token "
                               f"(mean of the last {mean_of} steps)")]
    if run.sizes.get("evaluation", 0) and "evaluation_loss" in run:
        facts.append(("held-out loss", f"{float(run['evaluation_loss'][-1]):.4f} nat per token"))
        bits = float(run["evaluation_bits_per_byte"][-1]) if "evaluation_bits_per_byte" in run else np.nan
        if np.isfinite(bits):
            facts.append(("held-out bits per byte", f"{bits:.4f}"))
    facts.append(("throughput", f"{float(run['tokens_per_second'].median()):,.0f} tokens per second (median)"))
    facts.append(("experts", _experts(run) if "experts" in run else "none: the model is dense"))
    facts += [("ranks", _per_segment(run, run["ranks"].values)), ("commit", run.attrs.get("commit", "?"))]
    if binned.width(run.sizes["row"]) > 1:
        facts.append(("lines and bands", binned.told(run.sizes["row"])))
    if isinstance(started, str) and started:
        facts.append(("started" if len(set(run["segment"].values)) == 1 else "last started",
                      started.replace("T", " ").replace("Z", " UTC")))
    return facts


def _typical(evaluation):
    """Most typical tokens of each expert by block, or nothing."""
    if evaluation is None or not all(name in evaluation for name in ("expert", "token", "token_text")):
        return []
    return [(int(block), special.typical_tokens(evaluation, layer)) for layer, block in enumerate(evaluation["layer"].values)]


def _draw(entry, records):
    """The figure of an entry and its caption; of a variable in which segments differ, the last segment's."""
    run = records["run"]
    why = special.without_routing(run, records["evaluation"]) if entry.source in ("evaluation", "routing") else None
    if entry.source == "text" and records["text"] is None:
        why = "no held-out text was evaluated"
    if why:
        raise figures.Absent(why)
    if entry.variable not in run.attrs["left_out"]:
        return entry.function(records[entry.source]), entry.caption
    last = records["last"]
    where = f"the last segment ({int(last['segment'][0]):03d}, steps {int(last['step'][0])} to {int(last['step'][-1])})"
    try:
        return entry.function(last), f"{entry.caption} Segments differ: this is {where}."
    except figures.Absent as reason:
        raise figures.Absent(f"{reason}. Segments differ: this is {where}") from None


def _shown(entry, records, out, origin):
    """What the page shows of an entry: the figure's bytes, or why there is none."""
    try:
        figure, caption = _draw(entry, records)
    except figures.Absent as reason:
        writing.remove(out / f"{entry.name}.png")
        return dict(name=entry.name, title=entry.title, absent=str(reason).rstrip("."))
    figure.suptitle(entry.title, fontsize="large")
    drawn = figure_file.save(figure, out, entry.name, origin._replace(caption=f"{entry.title}. {caption}"), ["png"])
    return dict(name=entry.name, title=entry.title, caption=caption, data=markupsafe.Markup(base64.b64encode(drawn).decode()))


def _timeline(records, out, origin):
    """The section on the sampled step: its figure, and the table by stage; nothing where the run has no timeline."""
    timeline = records["timeline"]
    entry = TIMELINE if timeline.attrs["absent"] else TIMELINE._replace(caption=timeline_figure.caption(timeline))
    shown = _shown(entry, records, out, origin)
    return {} if "absent" in shown else dict(figure=shown, stages=by_stage(timeline).to_dict("records"))


def _communication(run):
    """The table of what ranks send each other and how much of it is hidden; nothing where one rank works alone, or older programs did."""
    found = communication.of_rows(run)
    return found and dict(found, purposes=found["purposes"].to_dict("records"))


def _timeline_of(run_folder):
    """The timeline of the last sampled step; a damaged one is noted: the rest of the page does not need it."""
    try:
        return open_timeline(run_folder)
    except RecordError as error:
        warnings.warn(f"The timeline is left out: {error}.", RecordWarning, stacklevel=2)
        return xr.Dataset(attrs=dict(absent=str(error)))


def _open(run_folder):
    """The records of a run, and what they lack."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RecordWarning)
        run, evaluation, timeline = open_run(run_folder), open_evaluation(run_folder), _timeline_of(run_folder)
        lacks = list(dict.fromkeys(str(w.message) for w in caught if w.category is RecordWarning))
        last = open_run(run_folder, segment="last") if run.attrs["left_out"] else run
    for lack in lacks:
        warnings.warn(lack, RecordWarning, stacklevel=3)
    evaluation = None if evaluation is None else special.with_layers(evaluation, run)
    return dict(run=run, last=last, evaluation=evaluation, text=evaluation, routing=analyses.measure(evaluation), timeline=timeline), lacks


def template(name):
    """A page's template, in which no text of the data is markup."""
    pages = jinja2.Environment(loader=jinja2.PackageLoader("yardstick.pages", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True,
                               finalize=lambda value: text.lines(value) if type(value) is str else value)
    pages.filters["visible"] = special.visible
    return pages.get_template(name)


def make_report(run_folder, out=None, command=""):
    """Writes OUT/index.html (default RUN/report) and the figures beside it; returns the page's path."""
    records, lacks = _open(run_folder)
    out = pathlib.Path(out or pathlib.Path(run_folder) / "report")
    origin = figure_file.origin_of_run(command, run_folder)
    sections = {title: [_shown(entry, records, out, origin) for entry in entries] for title, entries in SECTIONS.items()}
    page = template("report.html").render(
        title=pathlib.Path(run_folder).resolve().name, facts=_facts(records["run"]), sections=sections, lacks=lacks,
        communication=_communication(records["run"]), timeline=_timeline(records, out, origin),
        typical=_typical(records["evaluation"]), config=records["run"].attrs.get("config", ""))
    writing.write_text(out / "index.html", page)
    return out / "index.html"
