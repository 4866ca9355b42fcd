"""The command `yardstick`: one sentence on standard error and an exit code of the README for whatever ends it."""
import argparse
import contextlib
import importlib
import os
import shlex
import sys
import warnings

from .base import ends, faults
from .base.arguments import Once, Several, name, whole
from .base.text import lines, plain

RUN = ("run", dict(help="the folder that `switchyard train --run` wrote"))
RUNS = ("runs", dict(action=Several, metavar="RUN", help="folders that `switchyard train --run` wrote, one a seed"))
SWEEP = ("sweep", dict(help="the folder of `switchyard sweep`, with results.h5 and tasks"))
RESULTS = ("results", dict(help="the folder of csv files that experiments/known-answer/run.sh wrote"))
MEASURED = ("results", dict(help="the folder of jsonl files that experiments/communication/run.sh measured"))
TABLE = dict(help="file for the table, csv (default: print only)")
FOLDER = dict(help="folder for tables, figures and acceptance.json (default: print only)")


def _call(place):
    """MODULE.FUNCTION of this package, loaded when it is called: a help text or a wrong option needs none of it."""
    module, function = place.rsplit(".", 1)
    return getattr(importlib.import_module(f".{module}", __package__), function)


def _option(parser, flag, **options):
    parser.add_argument(flag, **(dict(type=name, action=Once) | options))


def _made(commands, command, maker, given, out, **more):
    """A command that prints what MODULE.FUNCTION(given, out, command line, **more) returns; maker: (its help, "MODULE.FUNCTION"), given:
    name and options of its argument, out: options of --out, more: those of other flags."""
    about, place = maker
    parser = commands.add_parser(command, help=about)
    parser.add_argument(given[0], **dict(type=name) | given[1])
    for flag, options in (more | dict(out=out)).items():
        _option(parser, f"--{flag}", **options)
    parser.set_defaults(act=lambda args: _call(place)(getattr(args, given[0]), args.out, args.line,
                                                      **{flag: getattr(args, flag) for flag in more}))


def _routing(commands):
    parser = commands.add_parser("routing",
                                 help="what experts specialise in and how routing settles, each value beside its chance level and null")
    parser.add_argument("run", type=name, help="the folder that `switchyard train --run` wrote")
    _option(parser, "--out", help="where routing.csv and the figures go (default: RUN/routing)")
    _option(parser, "--shuffles", type=whole(2, 100_000), default=10,
            help="shuffles of each drawn null, at least 2, for a mean and its deviation (default: 10)")
    _option(parser, "--least", type=whole(), default=10,
            help="occurrences from which a token counts in vocabulary specialisation (default: 10)")
    _option(parser, "--seed", type=whole(), default=0, help="of the shuffles (default: 0)")
    parser.set_defaults(act=lambda args: _call("routing.analyses.write_routing")(
        args.run, args.out, args.line, shuffles=args.shuffles, least=args.least, seed=args.seed))


def _timeline(commands):
    parser = commands.add_parser("timeline", help="where the time of a sampled step goes, task by task on every rank: figure, tables, and "
                                                  "a trace for Perfetto")
    parser.add_argument(RUN[0], type=name, **RUN[1])
    _option(parser, "--step", type=whole(1), help="a sampled step (default: the last)")
    _option(parser, "--out", help="where the figure, the tables and trace.json go (default: RUN/timeline)")
    parser.set_defaults(act=lambda args: _call("experiments.timeline_report.make")(args.run, args.out, args.line, args.step))


def _placement(commands):
    parser = commands.add_parser("placement", help="where experts should live: what one token chooses together on one node, under equal "
                                                   "loads; a file, and what it sends beside other placements")
    parser.add_argument(RUN[0], type=name, **RUN[1])
    _option(parser, "--nodes", type=whole(2, 1024), required=True, help="nodes of an expert-parallel group, at least 2")
    _option(parser, "--ranks-per-node", type=whole(1, 1024), default=1, help="ranks of a node (default: 1)")
    _option(parser, "--group-limit", type=whole(1, 1024), help="count also what is sent where a token may keep this many nodes")
    _option(parser, "--tolerance", type=whole(0, 100), default=5,
            help="percent by which the largest load of a rank may be above that of the evenest packing (default: 5)")
    _option(parser, "--from-step", type=whole(1), help="first sampled step that is taken (default: the later half of those sampled)")
    _option(parser, "--seed", type=whole(), default=0, help="of the starts of the search (default: 0)")
    _option(parser, "--compare", metavar="FILE", help="a placement file that is measured too")
    _option(parser, "--counts", metavar="FILE", help="a json list to which rows before and after are added: trained.json of `yardstick "
                                                     "communication`")
    _option(parser, "--out", metavar="FILE",
            help="the placement; its table and figure go beside it (default: RUN/placement/placement.yaml)")
    parser.set_defaults(act=lambda args: _call("placement.report.write_placement")(
        args.run, args.nodes, args.out, args.line, ranks_per_node=args.ranks_per_node, group_limit=args.group_limit,
        tolerance=args.tolerance, from_step=args.from_step, seed=args.seed, compare=args.compare, counts=args.counts))


def _law(commands):
    parser = commands.add_parser("law", help="refit of the published curves of Clark et al. 2022, and E_max against tokens per parameter")
    parser.add_argument("curves", type=name, help="curves.csv.gz of google-deepmind/scaling_laws_for_routing (data/, CC-BY 4.0)")
    _option(parser, "--out", help="folder for tables (csv, json), figure and acceptance.json (default: print only)")

    def act(args):
        text, within = _call("law.law_report.make")(args.curves, args.out, args.line)
        return text, None if within else (f"{args.curves}: its refit is outside the tolerance, so nothing that rests on the fit counts; "
                                          "see that it is the published file, else the fit is defective")
    parser.set_defaults(act=act)


def _accounting(commands):
    parser = commands.add_parser("accounting", help="are the parameters of published models counted to the last one: one claim")
    parser.add_argument("folder", type=name,
                        help="folder of MODEL.txt, what `switchyard check MODEL.yaml` printed; acceptance.json is written there")
    parser.set_defaults(act=lambda args: _call("experiments.accounting.make")(args.folder, args.line))


def _trace(commands):
    parser = commands.add_parser("trace", help="where figures come from: command, commit, inputs with SHA-256, and every run behind them")
    parser.add_argument("figures", type=name, action=Several, metavar="FIGURE", help="SVG or PNG that yardstick wrote")
    parser.set_defaults(act=lambda args: "\n\n".join(map(_call("drawing.figure_file.trace"), args.figures)))


def _page(commands, command, place, about, page=None):
    """A command that makes a page of the docs from all experiments."""
    parser = commands.add_parser(command, help=about)
    parser.add_argument("experiments", type=name, nargs="?", default="experiments", metavar="EXPERIMENTS_FOLDER",
                        help="folder of the experiments (default: experiments)")
    page = page or f"docs/{command}.md"
    _option(parser, "--out", default=page, help=f"page to write (default: {page})")

    def act(args):
        _call("base.writing.write_text")(args.out, _call(place)(args.experiments, args.out))
        return args.out
    parser.set_defaults(act=act)


def _made_commands(commands):
    _made(commands, "report", ("one HTML page and its figures from a run folder; of several runs also a page that lists them",
                               "pages.runs.make"), RUNS, dict(help="where to write (default: RUN/report; of several runs it is needed)"))
    _made(commands, "compare", ("what differs between the configurations of runs, how they end, and their curves over each other",
                                "tables.compare.make"), RUNS, dict(help="folder for compare.csv and the figure (default: print only)"))
    _made(commands, "specialisation", ("what experts take above its base rate, by class of token and by domain: matrices, and one claim, "
                                       "from runs of several seeds", "experiments.specialisation.make"), RUNS, FOLDER)
    _made(commands, "load", ("the share of every expert over the steps, and MaxVio above its floor: a figure",
                             "experiments.load_figure.make"), RUN, dict(required=True, help="folder for load.svg, load.png and load.csv"))
    _made(commands, "saturation", ("do the gains from more experts diminish, and do they stop: tables and sentences",
                                   "sweeps.saturation_report.make"),
          ("results", dict(help="results.h5 of `switchyard sweep`, or a csv with its columns")), FOLDER,
          published=dict(metavar="FOLDER", help="what `yardstick law --out` wrote: draws the published curves at the nearest D/N"),
          times=dict(metavar="RESULTS", help="of a sweep of the same E with --jobs 1: durations are taken from it"),
          cooled=dict(metavar="RESULTS", help="of runs with fewer steps: their last losses beside the dense model's"))
    _made(commands, "balancing", ("the arms of a sweep that balance loads: MaxVio beside its floor, loss, verdicts",
                                  "sweeps.balancing_report.make"), SWEEP, FOLDER,
          sizes=dict(metavar="RESULTS", help="of a sweep of such arms at other numbers of experts"))
    _made(commands, "capacity", ("the arms of a sweep by capacity factor: drops and padding beside the null model, loss",
                                 "sweeps.capacity_report.make"), SWEEP, FOLDER)
    _made(commands, "router-learning", ("arms of a sweep beside its hash arm", "sweeps.router_learning.make"), SWEEP, FOLDER)
    _made(commands, "top-k", ("runs that differ in k, at equal work: paired differences", "sweeps.top_k.make"), SWEEP, FOLDER)
    _made(commands, "known-answer", ("does the laboratory find what its generators hide: two claims and a figure",
                                     "experiments.known_answer.make"), RESULTS, FOLDER)
    _made(commands, "communication", ("how much of a step is communication, how much of it overlap hides, how many bytes go: three claims "
                                      "and a figure", "experiments.communication.make"), MEASURED, FOLDER)
    _made(commands, "journeys", ("rows that crossed between nodes in training", "experiments.journeys.make"), RUNS, TABLE)
    _made(commands, "coverage", ("how often each kind of interval holds the truth, by simulation", "law.coverage.make"),
          ("tables", dict(type=whole(100, 100_000), nargs="?", default=4000, help="simulated tables a row (default: 4000)")), TABLE)
    _made(commands, "judge", ("corrected verdicts from the committed files of an experiment; registered ones stay", "sweeps.judging.make"),
          ("folder", dict(help="an experiment's folder: of saturation, balancing or top-k")), FOLDER)
    _made(commands, "planning", ("what `switchyard plan` said beside what `bench step` measured", "experiments.planning.make"),
          ("results", dict(help="folder of steps-RATE.jsonl and plan-RATE.jsonl")), TABLE)


class _Parser(argparse.ArgumentParser):
    """Takes no beginnings of options for them, and does not lose its help in silence."""

    def __init__(self, **options):
        super().__init__(**options, allow_abbrev=False)

    def _print_message(self, message, file=None):
        if file is not None and file is sys.stdout:
            _say(message.rstrip("\n"))
        else:
            super()._print_message(message, file)


def _parser():
    parser = _Parser(prog="yardstick", description="Reads the records of Switchyard runs.")
    commands = parser.add_subparsers(dest="command", required=True)
    _made_commands(commands)
    _routing(commands)
    _timeline(commands)
    _placement(commands)
    _law(commands)
    _accounting(commands)
    _trace(commands)
    _page(commands, "acceptance", "pages.acceptance_table.page",
          "every claim with its rule and what became of it, as one page from all experiments")
    _page(commands, "findings", "pages.findings.page", "what was found, in sentences between two marks of the README", "README.md")
    _page(commands, "gallery", "pages.gallery.page", "every figure of the experiments as one page")
    return parser


def _give_up(stream):
    """What could not be written is given up, or the interpreter would try again as it ends, and end with a code of its own."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _settle(stream):
    """What was written is on its way, or given up."""
    try:
        stream.flush()
    except (OSError, ValueError, AttributeError):
        _give_up(stream)


def _told(text):
    """A line on standard error, where there is one."""
    try:
        sys.stderr.write(f"yardstick: {plain(text)}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        _give_up(sys.stderr)


def _say(text=None):
    """Text on standard output, all of it, or StorageError."""
    try:
        if sys.stdout is None:
            raise OSError(None, "it is closed")
        if text is not None:
            print(lines(text))  # no sign of data steers a terminal
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        _give_up(sys.stdout)
        raise faults.StorageError(f"standard output: cannot be written ({faults.reason(error)}); "
                                  "let it lead to a file or a reader that takes all of it") from error


@contextlib.contextmanager
def _own_process(own):
    """Signals that would end the process end the command instead; signs that a terminal cannot show do not."""
    _settle(sys.stderr)  # a library's warnings may wait there in vain, and reconfigure would write them
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    asked = ends.Ends()
    try:
        if own:
            asked.take()
        yield asked
    finally:
        asked.give_back()


def _act(arguments, asked):
    """Runs a command; returns its exit code. Its files appear at its end, all or none, and then it says what it found."""
    _say()
    args = _parser().parse_args(arguments)
    args.line = plain(shlex.join(["yardstick", *map(str, arguments)]))  # as acceptance.json holds it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", faults.RecordWarning)
        said = set()  # a note on a record that is opened twice is said once
        warnings.showwarning = lambda message, *_: None if str(message) in said else said.add(str(message)) or _told(message)
        try:
            with _call("base.writing.together")():
                found = args.act(args)
                asked.check()
        finally:
            if "matplotlib.pyplot" in sys.modules:  # figures that were drawn and not saved
                sys.modules["matplotlib.pyplot"].close("all")
        text, wrong = found if isinstance(found, tuple) else (found, None)
        _say(text)
    asked.check()  # what came meanwhile; the files are there
    if wrong:
        _told(wrong)
    return faults.DEFECT if wrong else 0


def answered(act):
    """The exit code that act() gives, or, with a sentence on standard error, that of whatever ends it."""
    try:
        return act() or 0
    except SystemExit:  # argparse has said what is wrong, or printed its help
        raise
    except ends.Ended as error:
        _told(f"ended by {error}")
        return 128 + error.number
    except BaseException as error:  # whatever it is, it has an exit code and a sentence
        code, sentence = faults.told(error)
        _told(sentence)
        return code


def main(arguments=None):
    """The command with these arguments, by default the process's own; returns its exit code."""
    def act():
        with _own_process(arguments is None) as asked:
            return _act([str(a) for a in (sys.argv[1:] if arguments is None else arguments)], asked)
    try:
        return answered(act)
    finally:
        _settle(sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
