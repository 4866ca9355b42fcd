"""A Slurm of the tests' own and its jobs, driven through Slurm's commands. Every wait is for a condition."""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
SLURM = HERE.parents[1] / "slurm"
NETWORKS = pathlib.Path("/run/switchyard-nodes")
PATIENCE = 120.0  # s; for a machine that is busy with other things, not what anything takes
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}


def wait_for(condition, what, seconds=PATIENCE):
    """The first true value of condition(); fails with what(), a text, when there is none in time."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not in {seconds:.0f} s: {what()}"
        time.sleep(0.1)
    return value


class Cluster:
    """Four nodes of one host, in a folder, or those of a network of scripts/virtual-nodes.sh. Down at the latest when this process
    ends, since its input is a pipe of ours."""

    def __init__(self, folder, program, network=None, nodes=4):
        self.folder = pathlib.Path(folder)
        self.program = program
        options = ["--network", network] if network else []
        self._on_network = [HERE.parents[1] / "scripts/virtual-nodes/enter.sh", NETWORKS / network[-2:], "nodeA"] if network else []
        self._up = subprocess.Popen([HERE / "up.sh", folder, "--with-stdin", "--nodes", str(nodes), *options], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "OMPI_", "PMIX_", "SWITCHYARD"))},
            "SLURM_CONF": str(self.folder / "etc/slurm.conf"),
            "SWITCHYARD": str(program),
            "SWITCHYARD_MACHINE": "one-host",
            "OMP_NUM_THREADS": "1",
            **({"SWITCHYARD_DEVICE": "eth0"} if network else {}),
        }
        self._nodes = []
        # What up.sh starts inherits its pipes, so only its own end is waited for.
        assert self._up.wait() == 0, self._up.stdout.read1().decode()

    def down(self):
        subprocess.run([HERE / "down.sh", self.folder], check=True)
        self._up.stdin.close()
        for node in self._nodes:
            node.wait()

    def call(self, *command, cwd=None, check=True, **environment):
        done = subprocess.run([str(c) for c in (*self._on_network, *command)], env={**self.environment, **environment}, cwd=cwd, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PATIENCE)
        assert done.returncode == 0 or not check, f"{command}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def switch_off(self, node):
        """As when the power goes: everything on the node is gone at once. The administrator's monitoring says so; Slurm
        would find out by itself after SlurmdTimeout."""
        os.kill(int((self.folder / f"run/{node}.pid").read_text()), signal.SIGKILL)
        self.call("scontrol", "update", f"nodename={node}", "state=down", "reason=power")

    def switch_on(self, node):
        self._nodes.append(subprocess.Popen(["setpriv", "--pdeathsig", "KILL", HERE / "node.sh", self.folder, node]))
        self.call("scontrol", "update", f"nodename={node}", "state=resume")
        state = lambda: self.call("sinfo", "-h", "-n", node, "-o", "%t").strip()
        wait_for(lambda: state() == "idle", lambda: f"node {node} is {state()}")


class Job:
    """A submitted job, or one task of an array (id "5_2")."""

    def __init__(self, cluster, number, log):
        self.cluster, self.id, self._log = cluster, str(number), pathlib.Path(log)
        self._released = -float("inf")  # s, when its hold was last lifted

    def show(self):
        text = self.cluster.call("scontrol", "show", "job", "-o", self.id).splitlines()[-1]
        return dict(re.findall(r"(\w+)=(\S*)", text))

    def log(self):
        return self._log.read_text() if self._log.exists() else ""

    def describe(self):
        shown = self.show()
        return f"job {self.id} {shown['JobState']} restarts={shown['Restarts']} reason={shown['Reason']}; its log:\n{self.log()[-3000:]}"

    def wait(self, condition, seconds=PATIENCE):
        return wait_for(lambda: condition(self.show()), self.describe, seconds)

    def wait_log(self, text):
        wait_for(lambda: text in self.log(), lambda: f"'{text}' in the log of {self.describe()}")

    def wait_step(self, run, step):
        """Until the run, in its present segment, has come to a step: it is in the middle of its work then."""
        def reached():
            logs = sorted(pathlib.Path(run).glob("segments/*/log.txt"))
            return logs and any(int(s) >= step for s in re.findall(r"step=(\d+) loss", logs[-1].read_text()))
        wait_for(reached, lambda: f"step {step} of {self.describe()}")

    def wait_restart(self, restarts=1):
        """Until the job runs again. Slurm holds back what was requeued for two minutes; this does not."""
        def running(shown):
            self.release(shown)
            return shown["JobState"] == "RUNNING" and int(shown["Restarts"]) >= restarts
        self.wait(running)

    def release(self, shown):
        """Two seconds on, since a node refuses a job that starts again in the second in which it ended ("credential revoked"). Again
        after a while, for a job that is just ending may refuse it."""
        if shown["JobState"] == "PENDING" and shown["Reason"] == "BeginTime" and time.monotonic() > self._released + 10:
            self._released = time.monotonic()
            self.cluster.call("scontrol", "update", f"jobid={self.id}", "StartTime=now+2", check=False)

    def end(self):
        """Until the job is over, through as many requeues as it takes; its exit code (-N: signal N)."""
        def ended(shown):
            self.release(shown)
            return shown["JobState"] in ENDED and shown
        code, number = self.wait(ended)["ExitCode"].split(":")
        return -int(number) if number != "0" else int(code)

    def state(self):
        return self.show()["JobState"]


def processes(matches):
    """The ids of all processes, on whatever node, of which matches(/proc/ID) is true."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if matches(entry):
                found.append(int(entry.name))
        except OSError:
            pass  # it has ended meanwhile
    return found


def ranks_of(work, ranks, *words):
    """So many processes of the program in this folder that were called with these words, whatever else trains on this machine: other
    clusters have runs of the same names, and other tests have a name within a word."""
    wanted = {str(word).encode() for word in words}
    def trains(entry):
        return (os.readlink(entry / "exe") == str(work.program) and os.readlink(entry / "cwd") == str(work.folder)
                and wanted <= set((entry / "cmdline").read_bytes().split(b"\0")))
    found = processes(trains)
    assert len(found) == ranks, found
    return found


def stands_still(process):
    return all(re.search(r"\) (.)", (task / "stat").read_text())[1] == "T" for task in pathlib.Path(f"/proc/{process}/task").iterdir())


@contextlib.contextmanager
def held(ranks):
    """These processes stand still meanwhile."""
    try:
        for rank in ranks:
            os.kill(rank, signal.SIGSTOP)
        wait_for(lambda: all(map(stands_still, ranks)), lambda: f"the processes {ranks} at a halt")  # signals of lower numbers go first
        yield
    finally:
        for rank in ranks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rank, signal.SIGCONT)


def wait_pending(ranks, number):
    """Until a signal has come to all of these, which stand still and have not taken it."""
    def pending(rank):
        status = pathlib.Path(f"/proc/{rank}/status").read_text()
        return any(int(mask, 16) >> (number - 1) & 1 for mask in re.findall(r"(?:Sig|Shd)Pnd:\s*(\w+)", status))
    wait_for(lambda: all(map(pending, ranks)), lambda: f"{signal.Signals(number).name} at the processes {ranks}")
