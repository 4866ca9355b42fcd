"""yardstick: reads the records of Switchyard runs (run.h5, evaluation.h5, tokens.*.h5) and makes their reports.

Rooms, in layer order: one imports only those above it (tests/test_rooms.py).
records: a run folder opened as one dataset, its routing sample, classes and domains of tokens.
verdicts: every claim with its rule, and acceptance.json, which says what became of it.
drawing: the figures of a run, and figure files that hold where they come from.
routing: what experts specialise in and how routing settles, each quantity beside its chance level and null.
law: loss over the number of experts: published laws, their refit, gains per doubling.
sweeps: many runs from results.h5: saturation and its sentences, costs, arms compared.
experiments: what runs, csv files and text files of other experiments decide: known answer, accounting, load, specialisation.
pages: what is opened in a browser: the report of a run, the acceptance table, the gallery.
cli.py, above all rooms, is the command `yardstick`."""
from .records.run_folder import RecordWarning, SchemaError, open_evaluation, open_run, open_tokens

open = open_run  # yardstick.open(run): one xarray Dataset across all segments

__all__ = ["RecordWarning", "SchemaError", "open", "open_evaluation", "open_run", "open_tokens"]
