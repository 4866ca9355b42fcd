"""The command `yardstick`."""
import argparse
import importlib
import os
import pathlib
import shlex
import sys
import warnings

from .records.run_folder import RecordWarning, SchemaError


RUN = ("run", dict(help="the folder that `switchyard train --run` wrote"))
RUNS = ("runs", dict(nargs="+", metavar="RUN", help="folders that `switchyard train --run` wrote, one a seed"))
SWEEP = ("sweep", dict(help="the folder of `switchyard sweep`, with results.h5 and tasks"))
RESULTS = ("results", dict(help="the folder of csv files that experiments/known-answer/run.sh wrote"))
FOLDER = dict(help="folder for tables, figures and acceptance.json (default: print only)")


def _made(commands, name, maker, given, out):
    """A command that prints what MODULE.FUNCTION(given, out, command line) returns; maker: (its help, "MODULE.FUNCTION"), given: name and
    options of its argument, out: options of --out."""
    about, place = maker
    parser = commands.add_parser(name, help=about)
    parser.add_argument(given[0], **given[1])
    parser.add_argument("--out", **out)

    def act(args):
        module, function = place.rsplit(".", 1)
        make = getattr(importlib.import_module(f".{module}", __package__), function)
        print(make(getattr(args, given[0]), args.out, args.line))
    parser.set_defaults(act=act)


def _routing(commands):
    parser = commands.add_parser("routing",
                                 help="what experts specialise in and how routing settles, each value beside its chance level and null")
    parser.add_argument("run", help="the folder that `switchyard train --run` wrote")
    parser.add_argument("--out", help="where routing.csv and the figures go (default: RUN/routing)")
    parser.add_argument("--shuffles", type=int, default=10, help="shuffles of each drawn null, at least 2 (default: 10)")
    parser.add_argument("--least", type=int, default=10,
                        help="occurrences from which a token counts in vocabulary specialisation (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the shuffles (default: 0)")

    def act(args):
        from .routing.analyses import write_routing

        if args.shuffles < 2:
            parser.error("--shuffles: at least 2, for a mean and its deviation")
        print(write_routing(args.run, args.out, args.line, shuffles=args.shuffles, least=args.least, seed=args.seed))
    parser.set_defaults(act=act)


def _law(commands):
    parser = commands.add_parser("law", help="refit of the published curves of Clark et al. 2022, and E_max against tokens per parameter")
    parser.add_argument("curves", help="curves.csv.gz of google-deepmind/scaling_laws_for_routing (data/, CC-BY 4.0)")
    parser.add_argument("--out", help="folder for tables (csv, json), figure and acceptance.json (default: print only)")

    def act(args):
        from .law.law_report import make

        text, within = make(args.curves, args.out, args.line)
        print(text)
        return 0 if within else 1  # outside the tolerance nothing that rests on the fit counts
    parser.set_defaults(act=act)


def _saturation(commands):
    parser = commands.add_parser("saturation", help="do the gains from more experts diminish, and do they stop: tables and sentences")
    parser.add_argument("results", help="results.h5 of `switchyard sweep`, or a csv with its columns")
    parser.add_argument("--out", help="folder for tables, figures and acceptance.json (default: print only)")
    parser.add_argument("--published", metavar="FOLDER",
                        help="what `yardstick law --out` wrote: draws the published curves at the nearest D/N")
    parser.add_argument("--times", metavar="RESULTS", help="of a sweep of the same E with --jobs 1: durations are taken from it")
    parser.add_argument("--cooled", metavar="RESULTS", help="of runs with fewer steps: their last losses beside the dense model's")

    def act(args):
        from .sweeps.companions import Beside
        from .sweeps.saturation_report import make

        print(make(args.results, args.out, args.line, Beside(args.published, args.times, args.cooled)))
    parser.set_defaults(act=act)


def _accounting(commands):
    parser = commands.add_parser("accounting", help="are the parameters of published models counted to the last one: one claim")
    parser.add_argument("folder", help="folder of MODEL.txt, what `switchyard check MODEL.yaml` printed; acceptance.json is written there")

    def act(args):
        from .experiments.accounting import make

        print(make(args.folder, args.line))
    parser.set_defaults(act=act)


def _trace(commands):
    parser = commands.add_parser("trace", help="where figures come from: command, commit, inputs with SHA-256, and every run behind them")
    parser.add_argument("figures", nargs="+", metavar="FIGURE", help="SVG or PNG that yardstick wrote")

    def act(args):
        from .drawing.figure_file import trace

        print("\n\n".join(map(trace, args.figures)))
    parser.set_defaults(act=act)


def _page(commands, name, about):
    """A command that makes a page of the docs from all experiments."""
    parser = commands.add_parser(name, help=about)
    parser.add_argument("experiments", nargs="?", default="experiments", metavar="EXPERIMENTS_FOLDER",
                        help="folder of the experiments (default: experiments)")
    parser.add_argument("--out", default=f"docs/{name}.md", help=f"page to write (default: docs/{name}.md)")

    def act(args):
        from .pages import acceptance_table, gallery

        module = dict(acceptance=acceptance_table, gallery=gallery)[name]
        text, out = module.page(args.experiments, args.out), pathlib.Path(args.out)
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(text, encoding="utf-8")
        except OSError as error:
            raise SchemaError(f"{out}: cannot be written ({error}); give --out a file in a folder") from error
        print(args.out)
    parser.set_defaults(act=act)


def _made_commands(commands):
    _made(commands, "report", ("one HTML page and its figures from a run folder", "pages.report.make_report"), RUN,
          dict(help="where to write (default: RUN/report)"))
    _made(commands, "specialisation", ("what experts take above its base rate, by class of token and by domain: matrices, and one claim, "
                                       "from runs of several seeds", "experiments.specialisation.make"), RUNS, FOLDER)
    _made(commands, "load", ("the share of every expert over the steps, and MaxVio above its floor: a figure",
                             "experiments.load_figure.make"), RUN, dict(required=True, help="folder for load.svg, load.png and load.csv"))
    _made(commands, "balancing", ("the arms of a sweep that balance loads: MaxVio beside its floor, loss, verdicts",
                                  "sweeps.balancing_report.make"), SWEEP, FOLDER)
    _made(commands, "capacity", ("the arms of a sweep by capacity factor: drops and padding beside the null model, loss",
                                 "sweeps.capacity_report.make"), SWEEP, FOLDER)
    _made(commands, "top-k", ("runs of a sweep that differ in k, at equal work: paired differences of the loss", "sweeps.top_k.make"),
          SWEEP, FOLDER)
    _made(commands, "known-answer", ("does the laboratory find what its generators hide: two claims and a figure",
                                     "experiments.known_answer.make"), RESULTS, FOLDER)


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="yardstick", description="Reads the records of Switchyard runs.")
    commands = parser.add_subparsers(dest="command", required=True)
    _made_commands(commands)
    _routing(commands)
    _law(commands)
    _saturation(commands)
    _accounting(commands)
    _trace(commands)
    _page(commands, "acceptance", "every claim with its rule and what became of it, as one page from all experiments")
    _page(commands, "gallery", "every figure of the experiments as one page")
    args = parser.parse_args(arguments)
    args.line = shlex.join(["yardstick", *map(str, arguments)])  # as acceptance.json holds it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", RecordWarning)
            warnings.showwarning = lambda message, *_: print(f"yardstick: {message}", file=sys.stderr)
            return args.act(args) or 0
    except SchemaError as error:
        print(f"yardstick: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader, head for one, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
