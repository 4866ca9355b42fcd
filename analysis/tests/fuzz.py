"""Damaged files of every kind against the commands that read them: fuzz.py [CASES [FIRST SEED [COMMAND]]], 60 by default (test_fuzz.py).

A case is a copy of a folder with one file damaged; the command must end with 0, 2, 4 or 5 within a few seconds, with a sentence on
standard error where it is not 0, no traceback, and no file of its own left half-written."""
import os
import pathlib
import resource
import shutil
import sys
import tempfile
import warnings

import communication_fixture
import damage
import h5py
import numpy as np
from fixture import write_run
from placement_fixture import sampled_run
from sweep_fixture import config_of, write_sweep
from timeline_fixture import timed

import yardstick
from yardstick import cli
from yardstick.experiments import communication, load_figure, specialisation, timeline_report  # noqa: F401 what commands load, loaded once
from yardstick.pages import acceptance_table, gallery, report  # noqa: F401
from yardstick.placement import report as placement_report  # noqa: F401
from yardstick.records import run_folder, sample, special
from yardstick.sweeps import balancing_report, capacity_report, saturation_report  # noqa: F401

CODES = (0, 2, 4)
OF = os.environ.get("FUZZ_RUN")  # a run folder of the program, to be damaged instead of the tests' own
SECONDS = 60  # of processor time; a case takes about 1


def _run(folder):
    if OF:
        return shutil.copytree(OF, folder)
    write_run(folder, rows=12, evaluations=2, choices=2, sampled=True, config="train:\n  evaluate_every: 6\n  seed: 1\n")
    write_run(folder, first=9, rows=8, evaluations=1, choices=2, segment=1, sampled=True, config="train:\n  seed: 1\n")
    with h5py.File(folder / "segments/000/evaluation.h5") as first, h5py.File(folder / "segments/001/evaluation.h5", "a") as second:
        for name in ("token", "next"):  # the held-out text is one
            second[name][...] = first[name][...]
    return folder


def _timed(folder):
    timed(folder, steps=(10, 20))
    return timed(folder, ranks=2, queues=2, first=11, segment=1, steps=(20, 30))


def _sampled(folder):
    return sampled_run(folder, steps=(5, 10), rows=12)


def _placed(folder):
    _sampled(folder)
    assert cli.main(["placement", str(folder), "--nodes", "2", "--out", str(folder / "given.yaml")]) == 0
    return folder


def _sweep(folder):
    config = config_of(train__steps=40, train__batch=8, train__grains=4, moe__capacity_factor=1.25, moe__bias_rule="centred_sign",
                       moe__bias_rate=0.01)
    return write_sweep(folder, {"aux-batch": (4.0, config), "free-mid": (4.01, config)}, seeds=(1, 2))


def _curves(folder):
    folder.mkdir()
    from test_results import frame
    frame(seeds=(1, 2)).to_csv(folder / "r.csv", index=False)
    return folder


def _pages(folder):
    shutil.copytree(pathlib.Path(__file__).parents[2] / "experiments/top-k", folder / "top-k")
    assert cli.main(["gallery", str(folder), "--out", str(folder / "g.md")]) == 0
    return folder


def _known(folder):
    return shutil.copytree(pathlib.Path(__file__).parents[2] / "experiments/known-answer/results", folder)


def _measured(folder):
    return communication_fixture.write_results(folder, communication_fixture.good(), trained=communication_fixture.TRAINED)


def opens(folder):
    """What `yardstick.open` and its siblings give, with what every analysis asks of it."""
    def act():
        warnings.simplefilter("ignore")
        run, evaluation, tokens = yardstick.open(folder), run_folder.open_evaluation(folder), run_folder.open_tokens(folder)
        yardstick.open_evaluation(folder), yardstick.open_tokens(folder)
        for kind in ("step", *(["layer", "expert"] if "layer" in run.dims else [])):
            run.table(kind)
        if special.without_routing(run, evaluation) is None:
            special.class_labels(evaluation)
            sample.layers_of(special.with_layers(evaluation, run))
            if tokens is not None and "expert" in tokens:
                sample.layers_of(tokens)
    return cli.answered(act)


# name: what makes the folder, files that are damaged, the command line with {}
CASES = dict(
    open=(_run, "segments/*/*.h5", opens),
    report=(_run, "segments/*/*.h5", ["report", "{}"]),
    routing=(_run, "segments/*/*.h5", ["routing", "{}", "--shuffles", "2", "--out", "{}/out"]),
    load=(_run, "segments/*/run.h5", ["load", "{}", "--out", "{}/load"]),
    specialisation=(_run, "segments/*/*.h5", ["specialisation", "{}", "--out", "{}/out"]),
    timeline=(_timed, "segments/*/run.h5", ["timeline", "{}"]),
    placement=(_sampled, "segments/*/*.h5", ["placement", "{}", "--nodes", "2"]),
    given=(_placed, "given.yaml", ["placement", "{}", "--nodes", "2", "--compare", "{}/given.yaml"]),
    balancing=(_sweep, "results.h5", ["balancing", "{}", "--out", "{}/out"]),
    capacity=(_sweep, "tasks/*/segments/*/run.h5", ["capacity", "{}", "--out", "{}/out"]),
    saturation=(_curves, "r.csv", ["saturation", "{}/r.csv", "--out", "{}/out"]),
    known=(_known, "*.csv", ["known-answer", "{}"]),
    communication=(_measured, "[et]*.json*", ["communication", "{}", "--out", "{}/out"]),  # steps: test_communication_faults.py
    acceptance=(_pages, "*/acceptance.json", ["acceptance", "{}", "--out", "{}/a.md"]),
    gallery=(_pages, "*/*.svg", ["gallery", "{}", "--out", "{}/g.md"]),
)


def made(work, name):
    """The whole folder of a case, made once."""
    maker = CASES[name][0]
    folder = pathlib.Path(work) / maker.__name__
    return folder if folder.exists() else maker(folder)


def ended(line, said, seconds=SECONDS):
    """Exit code of a command in a process of its own that starts with everything loaded, below 0 for a signal; `said` gets its words."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            for number, name in ((1, os.devnull), (2, said)):
                os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            code = line() if callable(line) else cli.main(line)
        except SystemExit as error:
            code = error.code
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def case(work, name, seed):
    """Damages a copy of a folder and runs the command on it; returns what is wrong, or None."""
    rng, target = np.random.default_rng([seed, sorted(CASES).index(name)]), pathlib.Path(work) / f"{name}-{seed}"
    shutil.copytree(made(work, name), target)
    try:
        files = sorted(target.glob(CASES[name][1]))
        path = files[int(rng.integers(len(files)))]
        done = f"{name} {seed}: {path.relative_to(target)}: {damage.damage(rng, path)}"
        said = target / "said"
        line = CASES[name][2]
        code = ended((lambda: line(target)) if callable(line) else [word.format(target) for word in line], said)
        wrong = complaints(code, said.read_text(errors="replace"), target)
        return f"{done}: {wrong}: {said.read_text(errors='replace')[-600:]}" if wrong else None
    finally:
        shutil.rmtree(target, ignore_errors=True)


def complaints(code, said, folder):
    """What is wrong with how a command ended, in words; empty if nothing is."""
    wrong = []
    if code not in CODES:
        wrong.append(f"exit code {code}")
    if code and not said.startswith("yardstick"):
        wrong.append("no sentence")
    if "Traceback" in said:
        wrong.append("a traceback")
    left = [p.name for p in pathlib.Path(folder).rglob("*.part")]
    return ", ".join(wrong + [f"left {name}" for name in left])


def main(cases=60, first=0, only=None):
    names = [only] if only else sorted(CASES)
    found = []
    with tempfile.TemporaryDirectory() as work:
        for i in range(cases):
            wrong = case(work, names[i % len(names)], first + i // len(names))
            if wrong:
                found.append(wrong)
                print(wrong, flush=True)
    print(f"{cases} cases, {len(found)} wrong")
    return 1 if found else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main(*map(int, sys.argv[1:3]), *sys.argv[3:4]))
