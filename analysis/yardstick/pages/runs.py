"""`yardstick report RUN RUN …`: the report of each run, and a page that lists them with what they differ in."""
import pathlib
import urllib.parse
import warnings

from ..base import writing
from ..base.faults import RecordWarning, SchemaError, StorageError
from ..records.run_folder import open_run
from ..tables import compare
from ..tables.sweep import differing, options
from .report import make_report, template


def _reported(run, folder, command):
    """(results, options) of a run whose report was written to a folder."""
    make_report(run, folder, command)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)  # the report has told them
        data = open_run(run)
    return compare.result(data), options(data.attrs.get("config", ""))


def _page(title, found, folders, lacks):
    """The text of the page. found: {name: (results, options)}."""
    differ = differing([own for _, own in found.values()])
    columns = {key: label for key, label in compare.RESULTS.items() if key != "commit"}
    rows = [dict(name=name, link=urllib.parse.quote(folders[name].name),
                 results=[compare.shown(results[key]) for key in columns], options=[compare.shown(own.get(n, "")) for n in differ])
            for name, (results, own) in found.items()]
    shared = {n: compare.shown(v) for _, own in found.values() for n, v in own.items() if n not in differ}
    return template("runs.html").render(title=title, rows=rows, results=list(columns.values()), options=differ, shared=shared, lacks=lacks)


def make(runs, out=None, command=""):
    """Of one run what `make_report` does; of several OUT/NUMBER-NAME/ for each and OUT/index.html, whose path it returns. A run that has
    no report is listed with the reason; where none has one, that of the first is raised."""
    if len(runs) == 1:
        return make_report(runs[0], out, command)
    if out is None:
        raise SchemaError(f"{len(runs)} runs: there is no place for the page that lists them; give --out FOLDER")
    out, found, folders, failed = pathlib.Path(out), {}, {}, []
    with writing.together():
        for number, (run, name) in enumerate(zip(runs, compare.names(runs))):
            folders[name] = out / f"{number:03d}-{pathlib.PurePath(name).name}"
            try:
                found[name] = _reported(run, folders[name], command)
            except StorageError:
                raise
            except SchemaError as error:
                writing.forget(folders[name])
                failed.append(error)
        if not found:
            raise failed[0]
        writing.write_text(out / "index.html", _page(out.resolve().name, found, folders, list(map(str, failed))))
    for error in failed:
        warnings.warn(f"Without a report: {error}.", RecordWarning, stacklevel=2)
    return out / "index.html"
