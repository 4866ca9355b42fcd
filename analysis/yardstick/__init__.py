"""yardstick: reads the records of Switchyard runs (run.h5, evaluation.h5, tokens.*.h5) and makes their reports.

Rooms, in layer order: one imports only those above it (tests/test_rooms.py).
base: errors with exit codes, results written whole or not at all, other hands' files, text that no reader takes for markup.
records: a run folder opened as one dataset, its routing sample, classes and domains of tokens, the timeline of a step.
verdicts: every claim with its rule, and acceptance.json, which says what became of it.
drawing: the figures of a run, and figure files that hold where they come from.
routing: what experts specialise in and how routing settles, each quantity beside its chance level and null.
placement: where experts live: placements that keep what one token chooses together on one node, and what they send.
law: loss over the number of experts: published laws, their refit, gains per doubling; intervals, how often they hold, power.
sweeps: many runs from results.h5: saturation and its sentences, costs, arms compared.
tables: what an analyst asks of runs: tidy tables of one or of a sweep, the tokens of an expert, one token through training.
experiments: what runs, csv files and text files of other experiments decide: known answer, accounting, communication, load,
specialisation, timeline.
pages: what is opened in a browser: the report of a run, the acceptance table, the gallery, what the README says was found.
cli.py, above all rooms, is the command `yardstick`."""
import importlib

_FROM = {name: ("tables.run", name) for name in ("open_evaluation", "open_run", "open_tokens")}
_FROM |= {"sweep": ("tables.sweep", "sweep")}
_FROM |= {"open_timeline": ("records.timeline", "open_timeline")}
_FROM |= {"open": _FROM["open_run"]} | {name: ("base.faults", name) for name in ("RecordError", "RecordWarning", "SchemaError")}

__all__ = ["RecordError", "RecordWarning", "SchemaError", "open", "open_evaluation", "open_run", "open_timeline", "open_tokens", "sweep"]


def __getattr__(name):
    """yardstick.open(run) is one xarray Dataset across all segments. Loaded when asked for, so that the command can answer for
    whatever happens from its first moment on."""
    if name not in _FROM:
        raise AttributeError(f"module 'yardstick' has no attribute '{name}'")
    module, attribute = _FROM[name]
    return getattr(importlib.import_module(f".{module}", __name__), attribute)
