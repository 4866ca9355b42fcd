"""The command `yardstick`."""
import argparse
import shlex
import sys
import warnings

from .records import RecordWarning, SchemaError


def add_report(commands):
    report = commands.add_parser("report", help="one HTML page and its figures from a run folder")
    report.add_argument("run", help="the folder that `switchyard train --run` wrote")
    report.add_argument("--out", help="where to write (default: RUN/report)")
    report.set_defaults(function=run_report)


def run_report(args):
    from .report import make_report

    print(make_report(args.run, args.out))
    return 0


def add_law(commands):
    law = commands.add_parser("law", help="refit of the published curves of Clark et al. 2022, and E_max against tokens per parameter")
    law.add_argument("curves", help="curves.csv.gz of google-deepmind/scaling_laws_for_routing (data/, CC-BY 4.0)")
    law.add_argument("--out", help="folder for tables (csv, json), figure and acceptance.json (default: print only)")
    law.set_defaults(function=run_law)


def run_law(args):
    """0, or 1 where the refit rows are outside their tolerance: then nothing that rests on the fit counts."""
    from .law_report import make

    text, within = make(args.curves, args.out, args.line)
    print(text)
    return 0 if within else 1


def add_saturation(commands):
    saturation = commands.add_parser("saturation", help="do gains from more experts diminish, and do they stop: table and sentences")
    saturation.add_argument("results", help="results.h5 of `switchyard sweep`, or a csv with its columns")
    saturation.add_argument("--out", help="folder for tables, figure and acceptance.json (default: print only)")
    saturation.set_defaults(function=run_saturation)


def run_saturation(args):
    from .saturation_report import make

    print(make(args.results, args.out, args.line))
    return 0


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="yardstick", description="Reads the records of Switchyard runs.")
    commands = parser.add_subparsers(dest="command", required=True)
    add_report(commands)
    add_law(commands)
    add_saturation(commands)
    args = parser.parse_args(arguments)
    args.line = shlex.join(["yardstick", *arguments])  # as records of what was made hold it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", RecordWarning)
            warnings.showwarning = lambda message, *_: print(f"yardstick: {message}", file=sys.stderr)
            return args.function(args)
    except SchemaError as error:
        print(f"yardstick: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
