"""The bench of the damage campaign: what is damaged, made once for each worker, and commands started under limits."""
import hashlib
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from typing import NamedTuple

import h5py

CONFIG = """
model: {width: 16, blocks: 2, heads: 2, context: 16, hidden: 32}
moe: {experts: 3, top_k: 2, hidden: 16, router: sigmoid, bias_rule: sign}
data: {path: bpe}
train: {steps: 8, batch: 4, grains: 2, warmup: 2, schedule: constant, evaluate_every: 4, evaluate_tokens: 128, checkpoint_every: 4, keep: 3}
record: {flush_every: 2, sample_every: 4, timeline_every: 4, log_every: 2}
"""
SWEEP = "configuration: config.yaml\nset: [data.path=bytes, train.steps=4]\nexperts: [1, 2, 3]\ntop_k: [1]\nseeds: [1]\nranks: 1\n"
PLACEMENT = "# by hand\n0: [2, 0, 1]\n1: [1, 2, 0]\n"
MACHINE = pathlib.Path(__file__).resolve().parents[2] / "experiments/planning/four-nodes/machine-600mbit.yaml"  # by `bench machine`
ENVIRONMENT = dict(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MPLBACKEND="Agg", OMPI_MCA_ess_singleton_isolated="1")
ADDRESSES = 8 << 30  # bytes that a command may map; Open MPI and its shared memory take one of them
COMMANDS = {  # by name; the program stands before all but those of mpirun and yardstick
    "check": "check config.yaml",
    "show": "show config.yaml",
    "train": "train config.yaml --run new",
    "train llm.c": "train config.yaml --run new data.path=shard.bin train.evaluate_every=0 train.steps=4",
    "check placed": "check config.yaml --ranks 2 layout.placement=placement.yaml",
    "train placed": "mpirun --oversubscribe -n 2 PROGRAM train config.yaml --run new layout.placement=placement.yaml",
    "resume placed": "resume run train.steps=16 layout.placement=placement.yaml",
    "plan": "plan config.yaml model.vocabulary=300 --machine machine.yaml --ranks 2 --nodes 2",
    "plan on its nodes": "plan config.yaml model.vocabulary=300 --machine machine.yaml --ranks 4 --nodes 4 --show 3",
    "train measured": "train config.yaml --run new layout.machine=machine.yaml",
    "resume measured": "resume run train.steps=16 layout.machine=machine.yaml",
    "verify": "verify run",
    "verify --digest": "verify --digest run",
    "resume": "resume run train.steps=16",
    "resume on 2 ranks": "mpirun --oversubscribe -n 2 PROGRAM resume run train.steps=16",
    "verify branch": "verify branch",
    "resume branch": "resume branch train.steps=20",
    "digest of branch": "verify --digest branch",
    "generate": "generate run --prompt abc --tokens 5 --temperature 0",
    "data check": "data check bpe",
    "data check llm.c": "data check shard.bin",
    "data build bytes": "data build --out made --tokenizer bytes --validation-share 0.2 text",
    "data build bpe": "data build --out made --tokenizer bpe --vocabulary 300 --validation-share 0.2 text",
    "data check made": "data check made",
    "sweep status": "sweep status sweep",
    "sweep run": "sweep run sweep.yaml --out sweep",
    "sweep run anew": "sweep run sweep.yaml --out new",
    "verify results": "verify sweep/results.h5",
    "digest of new": "verify --digest new",
    "digest of results": "verify --digest sweep/results.h5",
    "report": "yardstick report run",
    "routing": "yardstick routing run --shuffles 2",
    "timeline": "yardstick timeline run",
    "saturation": "yardstick saturation sweep/results.h5",
}


class Outcome(NamedTuple):
    """What a command did. code: negative for a signal; seconds: on the clock; work: of the processor; bytes: most that it had in memory."""
    code: int
    out: str
    err: str
    seconds: float
    work: float
    bytes: int
    hung: bool


def _yardstick(arguments):
    """In a forked process: its modules are imported already (`import_yardstick`)."""
    from yardstick.cli import main

    try:
        return main(arguments) or 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1


def import_yardstick():
    import matplotlib.pyplot  # noqa: F401
    import yardstick.experiments.timeline_report
    import yardstick.pages.report
    import yardstick.routing.analyses
    import yardstick.sweeps.saturation_report  # noqa: F401


def _child(command, folder, out, err):
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if command[0] != "yardstick":
            os.execve(command[0], command, os.environ | ENVIRONMENT)
        code = _yardstick(command[1:])
        sys.stdout.flush()
    finally:
        os._exit(code)


def launch(command, folder, limit):
    """Runs a command (list) in folder for at most `limit` seconds."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start, hung = time.monotonic(), False
        pid = os.fork()
        if pid == 0:
            _child(command, folder, out, err)
        while True:
            done, status, usage = os.wait4(pid, os.WNOHANG)
            if done:
                break
            if not hung and time.monotonic() - start > limit:
                hung = True
                os.killpg(pid, signal.SIGKILL)
            time.sleep(0.002)
        seconds, texts = time.monotonic() - start, []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read(1 << 20).decode(errors="replace"))
        return Outcome(os.waitstatus_to_exitcode(status), *texts, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10, hung)


def snapshot(folder, contents=False):
    """{path: what would show a change}: kind, length, time of the last change, target of a link, and the bytes if asked for."""
    found = {}
    for path in sorted(pathlib.Path(folder).rglob("*")):
        s = path.lstat()
        regular = path.is_file() and not path.is_symlink()
        found[str(path)] = (s.st_mode, path.is_dir() or s.st_size, path.is_dir() or s.st_mtime_ns,
                            os.readlink(path) if path.is_symlink() else "",
                            hashlib.sha256(path.read_bytes()).hexdigest() if contents and regular else "")
    return found


def _write_inputs(work):
    """Texts of two domains and a third in JSON lines, an llm.c shard, a configuration and a sweep."""
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 7))) for _ in range(200)]
    for domain in ("alpha", "beta"):
        (work / "text" / domain).mkdir(parents=True)
        for i in range(4):
            (work / "text" / domain / f"{i}.txt").write_text(" ".join(rng.choices(words, k=120)))
    lines = [json.dumps(dict(text=" ".join(rng.choices(words, k=30)), domain="web")) for _ in range(6)]
    (work / "text" / "more.jsonl").write_text("\n".join(lines) + "\n")
    tokens = [rng.randrange(250) for _ in range(3000)]
    (work / "shard.bin").write_bytes(struct.pack("<256i", 20240520, 1, len(tokens), *[0] * 253) + struct.pack("<3000H", *tokens))
    (work / "config.yaml").write_text(CONFIG)
    (work / "sweep.yaml").write_text(SWEEP)
    (work / "placement.yaml").write_text(PLACEMENT)
    shutil.copy2(MACHINE, work / "machine.yaml")


class Slot:
    """A worker's place: SLOT/work is damaged and copied anew from SLOT/template for every case; SLOT/outside is what nothing may touch.
    Records hold the absolute path of their corpus, so that the template is made in SLOT/work itself."""

    def __init__(self, program, folder, limit):
        """limit: seconds after which a command hangs."""
        self.limit = limit
        self.program, self.folder = str(pathlib.Path(program).resolve()), pathlib.Path(folder).resolve()
        self.work, self.template, self.outside = (self.folder / name for name in ("work", "template", "outside"))
        os.environ["OMPI_MCA_orte_tmpdir_base"] = str(self.folder / "mpi")  # two processes that start at once would share a folder
        made = self.folder / "made.json"
        stat = os.stat(self.program)
        inputs = CONFIG + SWEEP + PLACEMENT + MACHINE.read_text()
        wanted = dict(program=self.program, bytes=stat.st_size, changed=stat.st_mtime_ns, inputs=inputs, commands=COMMANDS)
        known = json.loads(made.read_text()) if made.exists() else {}
        if known.get("wanted") != wanted:
            shutil.rmtree(self.folder, ignore_errors=True)
            known = dict(wanted=wanted, expected=self._make())
            made.write_text(json.dumps(known))
        self.expected = known["expected"]
        (self.folder / "mpi").mkdir(exist_ok=True)
        self.before = snapshot(self.template)

    def command(self, text):
        words = text.split() if isinstance(text, str) else list(text)
        if words[0] == "mpirun":
            return [shutil.which("mpirun"), *(self.program if word == "PROGRAM" else word for word in words[1:])]
        return words if words[0] == "yardstick" else [self.program, *words]

    def run(self, text):
        return launch(self.command(text), self.work, self.limit)

    def _done(self, text):
        outcome = launch(self.command(text), self.work, 120)
        if outcome.code:
            sys.exit(f"the bench cannot be made: {text} ends with {outcome.code}\n{outcome.out}{outcome.err}")
        return outcome.out

    def last_checkpoint(self):
        """A sum of what the last checkpoint holds, which `verify` cannot say of a run whose records are damaged; "" without one."""
        folder, total = self.work / "run/checkpoints/step-00000016", hashlib.sha256()
        try:
            for path in sorted(folder.glob("*.h5")):
                with h5py.File(path) as f:
                    f.visititems(lambda name, item: total.update(item[()].tobytes()) if isinstance(item, h5py.Dataset) else None)
            total.update((folder / "state.json").read_bytes())
        except OSError:
            return ""
        return total.hexdigest()

    def _make(self):
        """The template, and what undamaged commands print: {name of a command: output}."""
        for folder in (self.work, self.folder / "mpi"):
            folder.mkdir(parents=True)
        _write_inputs(self.work)
        for text in ("data build --out bytes --tokenizer bytes --validation-share 0.2 text",
                     "data build --out bpe --tokenizer bpe --vocabulary 300 --validation-share 0.2 text",
                     "train config.yaml --run run", "resume run train.steps=12", "train config.yaml --from run --run branch train.steps=16",
                     COMMANDS["sweep run"]):
            self._done(text)
        shutil.copytree(self.work, self.template)
        named = ("verify --digest", "generate", "check", "show", "digest of results", "check placed", "plan", "plan on its nodes")
        expected = {name: self._done(COMMANDS[name]) for name in named}
        expected["reference"] = self._done("show --reference")
        expected["configuration"] = self._done("show run/config.yaml")
        self._done(COMMANDS["resume branch"])
        expected["resume branch"] = self._done(COMMANDS["digest of branch"])
        self._done(COMMANDS["resume"])
        expected["resume"], expected["last checkpoint"] = self._done(COMMANDS["verify --digest"]), self.last_checkpoint()
        for name in ("train", "train llm.c"):
            shutil.rmtree(self.work / "new", ignore_errors=True)
            self._done(COMMANDS[name])
            expected[name] = self._done(COMMANDS["digest of new"])
        return expected

    def fresh(self, needs):
        """SLOT/work with undamaged copies of these entries of the template, and SLOT/outside."""
        for folder in (self.work, self.outside):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        for name in needs:
            source = self.template / name
            (shutil.copytree if source.is_dir() else shutil.copy2)(source, self.work / name)
        (self.outside / "canary.txt").write_text("a canary\n")
        (self.outside / "folder").mkdir()
        (self.outside / "folder" / "kept.txt").write_text("kept\n")
        shutil.copytree(self.template / "run/checkpoints/step-00000004", self.outside / "step-00000004")
