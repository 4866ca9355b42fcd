"""The script as the tests call it, and what it leaves on the machine."""
import os
import pathlib
import re
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts/virtual-nodes.sh"
STATE = pathlib.Path("/run/switchyard-nodes")
PATIENCE = 120.0  # s; for a machine that is busy with other things, not what anything takes
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("OMPI_", "SLURM_", "PMIX_", "SWITCHYARD_NODES"))}
ENVIRONMENT["OMP_NUM_THREADS"] = "1"


def default_signals():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)


def start(*arguments, **others):
    """The script in the background, with signals as at a terminal."""
    return subprocess.Popen([str(a) for a in (SCRIPT, *arguments)], text=True, env=ENVIRONMENT, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, preexec_fn=default_signals, **others)


def call(*arguments, code=0, **others):
    """What the script prints, stderr too, if it ends with `code`."""
    process = start(*arguments, **others)
    text, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, f"{arguments}: {process.returncode}\n{text}"
    return text


def command(*arguments):
    return subprocess.run([str(a) for a in arguments], text=True, check=True, stdout=subprocess.PIPE).stdout


def namespaces():
    return {line.split()[0] for line in command("ip", "netns", "list").splitlines()}


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < end, f"not in {PATIENCE:.0f} s: {what}"
        time.sleep(0.05)
    return value


def links():
    return command("ip", "-o", "link")


def groups():
    return {path for path in pathlib.Path("/sys/fs/cgroup").glob("**/switchyard-*") if path.is_dir()}


def traces(name):
    """What there is of a network, anywhere on the machine."""
    return [n for n in namespaces() if n.startswith(name)] + [g for g in groups() if g.name.startswith(name)] + \
        [f for f in STATE.glob("*") if f.name == name[-2:]]


def name_in(text):
    return re.search(r"switchyard-[0-9a-f]{2}", text).group()


class Network:
    """Nodes that are up for a `with` block."""

    def __init__(self, *options):
        self.name = name_in(call("up", *options))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if (STATE / self.name[-2:]).exists():
            call("down", self.name)

    def on(self, node, *arguments, **others):
        return call("exec", self.name, node, *arguments, **others)

    def address(self, node):
        return re.search(rf"^{node} \S+ (\S+)", (STATE / self.name[-2:] / "nodes").read_text(), re.M).group(1)
