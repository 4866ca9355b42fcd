"""The command `yardstick`."""
import argparse
import sys
import warnings

from .records import RecordWarning, SchemaError


def _report(commands):
    parser = commands.add_parser("report", help="one HTML page and its figures from a run folder")
    parser.add_argument("run", help="the folder that `switchyard train --run` wrote")
    parser.add_argument("--out", help="where to write (default: RUN/report)")

    def act(args):
        from .report import make_report

        print(make_report(args.run, args.out))
    parser.set_defaults(act=act)


def _routing(commands):
    parser = commands.add_parser("routing", help="what experts specialise in and how routing settles, each value beside its chance level and null")
    parser.add_argument("run", help="the folder that `switchyard train --run` wrote")
    parser.add_argument("--out", help="where routing.csv and the figures go (default: RUN/routing)")
    parser.add_argument("--shuffles", type=int, default=10, help="shuffles of each drawn null, at least 2 (default: 10)")
    parser.add_argument("--least", type=int, default=10, help="occurrences from which a token counts in vocabulary specialisation (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the shuffles (default: 0)")

    def act(args):
        from .routing import write_routing

        if args.shuffles < 2:
            parser.error("--shuffles: at least 2, for a mean and its deviation")
        print(write_routing(args.run, args.out, args.shuffles, args.least, args.seed))
    parser.set_defaults(act=act)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="yardstick", description="Reads the records of Switchyard runs.")
    commands = parser.add_subparsers(dest="command", required=True)
    _report(commands)
    _routing(commands)
    args = parser.parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", RecordWarning)
            warnings.showwarning = lambda message, *_: print(f"yardstick: {message}", file=sys.stderr)
            args.act(args)
    except SchemaError as error:
        print(f"yardstick: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
