"""The command `yardstick`."""
import argparse
import sys
import warnings

from .records import RecordWarning, SchemaError


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="yardstick", description="Reads the records of Switchyard runs.")
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="one HTML page and its figures from a run folder")
    report.add_argument("run", help="the folder that `switchyard train --run` wrote")
    report.add_argument("--out", help="where to write (default: RUN/report)")
    args = parser.parse_args(arguments)
    try:
        from .report import make_report

        with warnings.catch_warnings():
            warnings.simplefilter("always", RecordWarning)
            warnings.showwarning = lambda message, *_: print(f"yardstick: {message}", file=sys.stderr)
            print(make_report(args.run, args.out))
    except SchemaError as error:
        print(f"yardstick: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
