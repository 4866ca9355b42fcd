"""The tables of a run as Parquet files, written in parts, so that they may be larger than memory."""
import pathlib

from ..base import writing
from ..base.faults import SchemaError
from . import frames


def _pyarrow():
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise SchemaError("Parquet files need the package pyarrow, which is not installed; install yardstick[parquet]") from error
    return pyarrow


def write(run, folder, kinds=None, asked=frames.Asked()):
    """KIND.parquet of each kind of table that the run has; returns their paths."""
    arrow, paths = _pyarrow(), []
    if kinds is None:
        kinds = [k for k in frames.KINDS if frames.absent(run, k) is None]
    with writing.together():
        for kind in [kinds] if isinstance(kinds, str) else kinds:
            path = pathlib.Path(folder) / f"{kind}.parquet"

            def fill(stream, kind=kind):
                writer = None
                for part in frames.parts(run, kind, asked):
                    table = arrow.Table.from_pandas(part, preserve_index=False)
                    writer = writer or arrow.parquet.ParquetWriter(stream, table.schema, compression="zstd")
                    writer.write_table(table)
                writer.close()
            writing.write_stream(path, fill)
            paths.append(path)
    return paths
