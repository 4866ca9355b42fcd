"""Random ways through a step, for campaigns: every option of a layout that must change no bit."""
import functools
import re
import time

from campaign import run


def divisors(n):
    return [d for d in range(1, n + 1) if n % d == 0]


def enlarge(bench):
    """Makes the model one on which all of them mean something."""
    text = bench.config.read_text()
    bench.config.write_text(text.replace("top_k: 2,", "top_k: 3, combine_groups: 4, hidden_chunks: 4,"))


@functools.cache
def choices(program):
    """The names that an option of the layout can have, of those that have names."""
    reference = run([program, "show", "--reference"]).stdout
    found = {name: names.split(", ") for name, names in
             re.findall(r"^\| `layout\.(\w+)` \|[^|]*\|[^|]*\| one of ([\w, ]+) \|", reference, re.M)}
    assert found.keys() == {"exchange", "transport", "schedule", "recompute"}, f"options with names in the reference: {sorted(found)}"
    return found


def placement(bench, rng):
    """A new file in which the five experts of each of two blocks live in a random order."""
    file = bench.folder / f"placement-{rng.getrandbits(32):08x}.yaml"
    file.write_text("".join(f"{block}: {rng.sample(range(5), 5)}\n" for block in range(2)))
    return file


def draw(bench, ranks, rng):
    """Words of a command line on so many ranks."""
    named = {name: rng.choice(values) for name, values in choices(bench.program).items()}
    ep = rng.choice(divisors(ranks)[1:] or [1])
    team = rng.choice([t for t in (1, 2, 4) if ep % t == 0 and (t == 1 or named["exchange"] != "gather")])
    near = rng.choice([n for n in divisors(ep) if n % team == 0])  # an expert stays on one node
    lanes = rng.choice([1, 2, 4, 8])
    again = named["recompute"] != "none"  # experts that are made again have one wave
    waves = rng.choice([w for w in (1, 2, 4, 8) if w <= lanes and (w == 1 or not again)])
    blocks = rng.choice(["[]", "[0]", "[1]"]) if again else "[]"
    threads = rng.choice([1, 2]) if ranks == 2 else 1  # those of more ranks than cores wait for each other too long
    options = dict(expert_parallel=ep, expert_tensor_parallel=team, ranks_per_node=near, lanes=lanes, waves=waves,
                   poll=rng.choice([0, 20, 500]), threads=threads, zero=rng.choice([0, 1]), local_first=rng.choice(["false", "true"]),
                   placement=rng.choice(["contiguous", placement(bench, rng)]),
                   recompute_blocks=blocks, **named)
    return [f"layout.{name}={value}" for name, value in options.items()]


def said(way):
    """What differs from a plain way, in short."""
    plain = {"lanes=1", "waves=1", "threads=1", "zero=0", "local_first=false", "placement=contiguous", "recompute=none",
             "recompute_blocks=[]"}
    return ", ".join(o for word in way if (o := re.sub(r"/\S*/", "", word.removeprefix("layout."))) not in plain)


def program_of(bench):
    """Commit of what ran, and the day."""
    return run([bench.program, "--version"]).stdout.splitlines()[0] + time.strftime("; %F")
