"""What is right and wrong after damage."""
import re

CODES = {0, 2, 3, 4, 5, 6, 7, 75}  # README's table without 8: nothing here is large but what a file claims
READERS = {"verify", "verify --digest", "generate", "check", "show", "data check", "data check llm.c", "verify results", "check placed",
           "plan", "plan on its nodes"}
RESOLVED = "show run/config.yaml"
RAW = re.compile(r"Traceback|HDF5-DIAG|std::|stoi|stol|basic_string|basic_filebuf|bad_alloc|vector::|map::at|terminate called")
USERS = {"configuration", "sweep file", "numbers"}  # what they say can be wrong elsewhere: any path or option is a place
RECORDS = {"run.h5", "evaluation.h5", "token samples", "run folder"}
GONE = re.compile(r"checkpoints(/step-\d+)?: missing$")
# Damage that a command may take without a word, each with its reason.
ACCEPTED = {
    ("shard", "train"): "shards are large: their sums are compared by `data check`, not by every start",
    ("shard", "resume"): "as for train",
    ("shard", "resume on 2 ranks"): "as for train",
    ("shard", "generate"): "no shard is read",
    ("corpus manifest", "data check"): "nothing else knows what the manifest should say; `resume` compares its sum",
    ("corpus manifest", "train"): "as for data check: it is another corpus",
    ("llm.c shard", "data check llm.c"): "the format of others has no sums",
    ("llm.c shard", "train llm.c"): "as for data check",
    ("configuration", "train"): "the user's file: what it says holds",
    ("configuration", "check"): "as for train",
    ("configuration", "show"): "as for train",
    ("sweep file", "sweep run anew"): "the user's file: what it says holds",
    ("text", "data build bytes"): "any text is a text",
    ("text", "data build bpe"): "as for bytes",
}


def _names(damage, outcome):
    """Whether the message names the damaged place: the file, a folder above it, or the option."""
    words = [w for w in re.split(r"[/ =]", damage.target) if w]
    if damage.name.startswith(("hostile", "odd", "foreign")):
        words += [w for w in re.split(r"[/ :]", damage.said) if w]
    words.append("--ranks")  # an option that no damage is in, drawn out of range
    text = outcome.err + outcome.out
    return any(word in text for word in words) or damage.kind in USERS and re.search(r"\w[./]\w", text) is not None


def plain(damage, name, outcome):
    """What is wrong with the way a command ended, whatever it should have found: a list of words."""
    wrong = []
    if outcome.hung:
        return ["hangs"]
    if outcome.code < 0 or outcome.code >= 128:
        wrong.append(f"signal {-outcome.code if outcome.code < 0 else outcome.code - 128}")
    elif outcome.code == 8:
        wrong.append("exit 8: memory for a size that a file or number claims")
    elif outcome.code not in CODES:
        wrong.append(f"exit {outcome.code}")
    raw = RAW.search(outcome.out + outcome.err)
    if raw:
        wrong.append(f"raw text '{raw.group()}'")
    said = outcome.err + (outcome.out if name.startswith("sweep run") else "")  # its table says why a task failed
    if outcome.code > 0 and not said.strip():
        wrong.append("nothing on standard error")
    elif outcome.code > 0 and not _names(damage, outcome):
        wrong.append("the message does not name the place")
    if outcome.bytes > 2 << 30:
        wrong.append(f"{outcome.bytes >> 20} MiB of memory")
    if name in ("check", "show") and outcome.work > 2:
        wrong.append(f"{outcome.work:.1f} s of work")
    return wrong


def _differs(found, wanted, prefix=""):
    """Lines of two digests that differ; the sum of all is left out."""
    pick = lambda text: {line for line in text.splitlines() if line.startswith(prefix) and not line.startswith("total ")}
    return sorted({line.split()[0] for line in pick(found) ^ pick(wanted)})


def _accepted(what, lines):
    return [f"accepted damage: {what} differs ({', '.join(lines[:3])}{', ...' if len(lines) > 3 else ''})"] if lines else []


def _resumed(damage, said, bench):
    """A resumed run is the undisturbed one. Rows of damaged records may be lost, in words: of the command or of `verify` after it."""
    digest = lambda: bench.run("verify --digest run").out
    if damage.kind not in RECORDS:
        return _accepted("the resumed run", _differs(digest(), bench.expected["resume"]))
    wrong = [] if bench.last_checkpoint() == bench.expected["last checkpoint"] else ["accepted damage: the last checkpoint differs"]
    if not said and bench.run("verify run").code == 0:
        wrong += _accepted("the resumed run (and verify says sound)", _differs(digest(), bench.expected["resume"]))
    return wrong


def _keys(text):
    return sorted(re.findall(r"(\w+):", re.sub(r'"[^"]*"|#.*', "", text)))


def _no_such_file(kind, bench):
    """Whether what lies there is no placement of the three experts of both blocks, or lacks a key of a machine: a list of words."""
    path = bench.work / ("placement.yaml" if kind == "placement" else "machine.yaml")
    text = path.read_bytes().decode(errors="replace").replace("\r", "\n") if path.is_file() else ""
    if kind == "placement":
        orders = {int(block): sorted(order.replace(" ", "").split(",")) for block, order in re.findall(r"(\d+): *\[([^]]*)\]", text)}
        sound = orders == {0: ["0", "1", "2"], 1: ["0", "1", "2"]}
    else:
        sound = _keys(text) == _keys((bench.template / path.name).read_text())
    return [] if sound else [f"accepted damage: this is no {kind}"]


def sense(damage, name, outcomes, bench):
    """Whether a command that ended with 0 took damage for sound: a list of words. outcomes: those of the case so far, this one the last."""
    outcome = outcomes[name]
    if outcome.code != 0 or damage.forged or damage.kind == "numbers" or (damage.kind, name) in ACCEPTED:
        return []
    if damage.kind in ("placement", "machine description") and (wrong := _no_such_file(damage.kind, bench)):
        return wrong
    said = _names(damage, outcome)
    if name == "verify --digest":
        verify = outcomes["verify"]
        told = verify.code != 0 or _names(damage, verify) and "no checkpoint by its name" in verify.err
        lines = [] if told else _differs(outcome.out, bench.expected[name])
        if GONE.search(damage.said):  # as a job leaves it that was killed before that checkpoint: `resume` makes it again
            lines = [line for line in lines if not line.startswith("checkpoint/")]
        return _accepted("the digest (and verify says sound)", lines)
    if name == "resume branch":
        return _accepted("the resumed branch", _differs(bench.run("verify --digest branch").out, bench.expected[name]))
    if name.startswith("resume"):
        return _resumed(damage, said, bench)
    if name in ("train", "train placed", "train measured"):  # neither a placement nor a machine changes a bit
        return _accepted("the trained run", _differs(bench.run("verify --digest new").out, bench.expected["train"]))
    if name == "generate":
        return ["accepted damage: another text, without a word"] if outcome.out != bench.expected[name] and not outcome.err else []
    if name in ("data check", "data check llm.c"):
        return ["accepted damage: data check says sound"]
    if name in ("sweep status", "sweep run"):
        lines = _differs(bench.run("verify --digest sweep/results.h5").out, bench.expected["digest of results"])
        return [] if said else _accepted("results.h5", lines)
    return []


def must_be_refused(damage, outcomes, bench):
    """What `verify` may not call sound: records without what the schema asks for, and a configuration that says something else than the one
    that the run began with."""
    if outcomes["verify"].code != 0:
        return []
    if damage.kind in RECORDS and damage.name in ("h5_missing", "h5_type", "h5_link"):
        return [f"accepted damage: verify says sound of a record with {damage.said}"]
    values = lambda text: [line.split("#")[0].rstrip() for line in text.splitlines()]  # without origins
    if damage.kind == "run configuration" and values(bench.run(RESOLVED).out) != values(bench.expected["configuration"]):
        return ["accepted damage: verify says sound beside a configuration of other values"]
    return []
