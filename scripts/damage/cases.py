"""The cases of the damage campaign: a seed chooses the kind of file, what is done to it, and the commands that then meet it."""
import random
import re
from typing import NamedTuple

import mutations as m
import structure as s

RUN, CORPUS, WHOLE = ("run", "bpe"), ("bpe", "config.yaml"), ("bpe", "config.yaml", "run")
PLACED, MEASURED = (*WHOLE, "placement.yaml"), (*WHOLE, "machine.yaml")
SWEEP = ("sweep", "sweep.yaml", "config.yaml", "bytes")
READS, CONTINUES = ("verify", "verify --digest"), ("resume", "resume", "resume on 2 ranks", "generate", "report", "routing", "timeline")
LOADS = ("resume", "resume", "resume", "resume on 2 ranks", "generate", "generate")
HDF5 = m.BYTES + (m.flip_structure,) * 4 + m.FOREIGN + s.HDF5


class Kind(NamedTuple):
    """A kind of file. pattern: where such files lie; needs: what of the template a case copies; always: commands of every case, in order;
    one_of: and one of these after them."""
    name: str
    pattern: str
    needs: tuple
    damages: tuple
    always: tuple
    one_of: tuple = ()


KINDS = (
    Kind("run.h5", "run/segments/*/run.h5", RUN, HDF5, READS, CONTINUES),
    Kind("evaluation.h5", "run/segments/*/evaluation.h5", RUN, HDF5, READS, CONTINUES),
    Kind("token samples", "run/segments/*/tokens.r*.h5", RUN, HDF5, READS, CONTINUES),
    Kind("checkpoint tensors", "run/checkpoints/*/*.h5", RUN, HDF5, READS, LOADS),
    Kind("checkpoint state", "run/checkpoints/*/state.json", RUN, m.BYTES + m.FOREIGN + s.JSON * 3, READS, LOADS),
    Kind("checkpoint manifest", "run/checkpoints/*/manifest.json", RUN, m.BYTES + m.FOREIGN + s.JSON * 3, READS, LOADS),
    Kind("run configuration", "run/config.yaml", RUN, m.BYTES + m.FOREIGN + s.YAML * 2, READS, ("resume", "resume", "generate", "report")),
    Kind("parent", "branch/parent.json", ("branch", *RUN), m.BYTES + m.FOREIGN + s.JSON * 3, ("verify branch",), ("resume branch",)),
    Kind("lock", "run/lock", RUN, m.BYTES + m.FOREIGN, READS, ("resume", "generate")),
    Kind("log", "run/segments/*/log.txt", RUN, m.BYTES + m.FOREIGN, READS, ("resume", "resume", "generate", "report")),
    Kind("run folder", "run", RUN, (m.hostile_link, m.hostile_link, m.odd_number, m.odd_number, m.foreign_entry), READS, CONTINUES),
    Kind("corpus manifest", "bpe/manifest.json", WHOLE, m.BYTES + m.FOREIGN + s.JSON * 3, ("data check", "train"), ("resume", "generate")),
    Kind("shard", "bpe/*-0*.bin", WHOLE, m.BYTES + m.FOREIGN, ("data check", "train"), ("resume", "generate")),
    Kind("document table", "bpe/*.documents.bin", WHOLE, m.BYTES * 2 + m.FOREIGN, ("data check", "train"), ("resume", "generate")),
    Kind("tokenizer", "bpe/tokenizer.model", WHOLE, m.BYTES * 2 + m.FOREIGN, ("data check", "train"), ("resume", "generate")),
    Kind("llm.c shard", "shard.bin", ("shard.bin", "config.yaml"), m.BYTES + (m.flip_head,) * 4 + m.FOREIGN,
         ("data check llm.c", "train llm.c")),
    Kind("sweep.json", "sweep/sweep.json", SWEEP, m.BYTES + m.FOREIGN + s.JSON * 3, ("sweep status",), ("sweep run",)),
    Kind("results.h5", "sweep/results.h5", SWEEP, HDF5, ("saturation", "verify results", "sweep status")),
    Kind("sweep task", "sweep/tasks/*/**/*.*", SWEEP, m.BYTES + m.FOREIGN, ("sweep status",), ("sweep run",)),
    Kind("sweep folder", "sweep", SWEEP, (m.hostile_sweep_link,), ("sweep status",), ("sweep run",)),
    Kind("sweep file", "sweep.yaml", ("sweep.yaml", "config.yaml", "bytes"), m.BYTES + m.FOREIGN + s.YAML * 3, ("sweep run anew",)),
    Kind("placement", "placement.yaml", PLACED, m.BYTES + m.FOREIGN + s.YAML * 3, ("check placed", "train placed"), ("resume placed",)),
    Kind("machine description", "machine.yaml", MEASURED, m.BYTES + m.FOREIGN + s.YAML * 3, ("plan", "train measured"),
         ("plan on its nodes", "resume measured")),
    Kind("configuration", "config.yaml", CORPUS, m.BYTES + m.FOREIGN + s.YAML * 3, ("check", "show", "train")),
    Kind("text", "text/**/*.*", ("text",), m.BYTES + m.FOREIGN + (s.text_line,) * 8, (),
         ("data build bytes", "data build bpe")),
    Kind("numbers", "config.yaml", ("config.yaml", "run", "bpe", "text", "sweep.yaml", "bytes"), (), ()),
)
WEIGHTS = {"run.h5": 3, "checkpoint tensors": 2, "token samples": 2, "evaluation.h5": 2, "numbers": 3, "run folder": 2}
ORDER = [kind for kind in KINDS for _ in range(WEIGHTS.get(kind.name, 1))]

LARGE = ("1", "2", "16", "16777216", "1073741824", "2147483647", "4294967296", "1099511627776", "4611686018427387904",
         "9223372036854775807")
ODD = s.NUMBERS + ("", " ", "nan", "inf", "1,2", "[1]", "{}", "two", "1 2", "+1", "١")
OPTIONS = (  # command lines that end with an option for the number
    "check config.yaml --ranks",
    "plan config.yaml --machine absent.yaml --ranks",
    "plan config.yaml --machine absent.yaml --ranks 4 --nodes",
    "bench exchange --experts",
    "generate run --prompt a --tokens",
    "generate run --prompt a --tokens 3 --seed",
    "generate run --prompt a --tokens 3 --temperature",
    "data build text --out new --seed",
    "data build text --out new --tokenizer bpe --vocabulary",
    "data build text --out new --validation-share",
    "data build text --out new --tokenizer bpe --vocabulary 300 --tokenizer-bytes",
    "data generate --out new --samples 100 --keys",
    "data generate --out new --samples 100 --values",
    "data generate --out new --samples 100 --tasks",
    "data generate --out new --samples 100 --seed",
    "data generate --shape facts --out new --facts",
    "sweep run sweep --task",
    "sweep run sweep.yaml --out new --jobs",
)


def options_of(reference):
    """Every option that `switchyard show --reference` lists, by what its value is: integers, numbers, and others (names, lists, texts)."""
    found = re.findall(r"^\| `(\w+\.\w+)` \|[^|]*\|[^|]*\| ([^|]+) \|", reference, re.M)
    pick = lambda *words: [name for name, value in found if value.startswith(words)]
    options = dict(integers=pick("an integer"), numbers=pick("a number"), others=pick("one of", "true or", "a list", "text"))
    assert found and sorted(sum(options.values(), [])) == sorted(name for name, _ in found), f"values of another kind: {found}"
    return options


class Damage(NamedTuple):
    """What was done. target: path below SLOT/work, or the number that was given; forged: the sums beside it were made right, or the file is
    whole for HDF5 or JSON, so that nothing but its sense can tell."""
    kind: str
    target: str
    name: str
    said: str
    forged: bool


def _numbers(rng, options):
    """(what, commands as lists of words) of one case of numbers that a user gives."""
    if rng.random() < 0.35:
        words = rng.choice(OPTIONS).split()
        value = rng.choice(rng.choice([LARGE, ODD]))
        return f"{words[-1]} {value}", [[*words[:-1], f"{words[-1]}={value}"]]
    given = {}
    for _ in range(rng.choice([1, 2, 3, 6])):
        given[rng.choice(options["integers"])] = rng.choice(LARGE if rng.random() < 0.8 else ODD)
    if rng.random() < 0.3:
        given[rng.choice(options["numbers"] + options["others"])] = rng.choice(ODD)
    overrides = [f"{key}={value}" for key, value in given.items()]
    ranks = rng.choice(["1", "1", "4", "1048576"])
    return " ".join(overrides), [["check", "config.yaml", *overrides, "--ranks", ranks], ["show", "config.yaml", *overrides]]


def _damage(kind, rng, bench):
    """Damages a file of this kind; a mutation that does not fit the file gives way to another."""
    paths = sorted(p for p in bench.work.glob(kind.pattern) if kind.pattern.endswith(("run", "sweep")) or p.is_file())
    path = rng.choice(paths)
    whole, said = path.read_bytes() if path.is_file() else None, None
    while said is None:
        mutation = rng.choice(kind.damages)
        try:
            said = mutation(path, rng, bench)
        except (m.Unfit, UnicodeDecodeError):
            continue
        if path.is_file() and not path.is_symlink() and path.read_bytes() == whole:  # zeros over zeros, for one
            said = None
    structural = mutation in s.HDF5 + s.JSON
    forged = structural and path.suffix == ".h5"
    if (structural or mutation in m.BYTES) and rng.random() < (0.7 if structural else 0.15) and s.with_sums(path, bench):
        said, forged = f"{said}, sums made right", True
    return Damage(kind.name, str(path.relative_to(bench.work)), mutation.__name__, said, forged)


def kind_of(seed):
    return ORDER[seed % len(ORDER)]


def prepare(seed, bench):
    """Damages SLOT/work as this seed says; returns (Damage, [(name of a command, what to run)])."""
    rng = random.Random(seed)
    kind = kind_of(seed)
    bench.fresh(kind.needs)
    if kind.name == "numbers":
        said, commands = _numbers(rng, options_of(bench.expected["reference"]))
        return Damage(kind.name, said, "numbers", said, False), [(" ".join(c[:2 if c[0] in ("data", "sweep") else 1]), c) for c in commands]
    damage = _damage(kind, rng, bench)
    names = [*kind.always, *([rng.choice(kind.one_of)] if kind.one_of else [])]
    return damage, [(name, None) for name in names]
