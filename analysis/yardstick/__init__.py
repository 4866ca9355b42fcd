"""yardstick: reads the records of Switchyard runs (run.h5, evaluation.h5, tokens.*.h5) and makes their reports."""
from .records import RecordWarning, SchemaError, open_evaluation, open_run, open_tokens

open = open_run  # yardstick.open(run): one xarray Dataset across all segments

__all__ = ["RecordWarning", "SchemaError", "open", "open_evaluation", "open_run", "open_tokens"]
