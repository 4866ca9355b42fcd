"""Virtual nodes come and go, and touch nothing else."""
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

from network import SCRIPT, STATE, Network, call, command, groups, links, name_in, namespaces, start, traces, wait_for


@pytest.mark.parametrize("nodes", [1, 2, 4])
def test_nothing_is_left(nodes):
    before = links()
    with Network("--nodes", nodes) as network:
        assert links() == before, "all devices are inside the namespaces"
        assert len(traces(network.name)) >= nodes + 2
        assert network.on("nodeA", "hostname") == "nodeA\n"
        assert f"node{'ABCD'[nodes - 1]} " in call("status")
    assert links() == before
    assert not traces(network.name)


def test_no_packet_has_a_way_out():
    with Network("--nodes", 2) as a, Network("--nodes", 2) as b:
        assert a.name != b.name
        for node in ("nodeA", "nodeB"):
            assert a.on(node, "ip", "-o", "route").startswith("10.77.")
            assert "default" not in a.on(node, "ip", "-o", "route")
            assert a.on(node, "ip", "-o", "-6", "route") == ""
            assert [line.split()[1] for line in a.on(node, "ip", "-o", "link").splitlines()] == ["lo:", f"eth0@if{port(a, node)}:"]
        connect = "import socket, sys; socket.create_connection((sys.argv[1], 22), 5)"
        assert "Connection refused" in a.on("nodeA", "python3", "-c", connect, a.address("nodeB"), code=1), "a node reaches its neighbour"
        for foreign in (b.address("nodeA"), "192.0.2.1"):
            assert "Network is unreachable" in a.on("nodeA", "python3", "-c", connect, foreign, code=1)


def port(network, node):
    """The index of the port of the switch that the device of a node is the other end of."""
    ports = command("ip", "-n", f"{network.name}-switch", "-o", "link")
    return next(line.split(":")[0] for line in ports.splitlines() if f" {node}@" in line)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_run_that_is_ended_cleans_up(number):
    run = start("run", "--nodes", "2", "--", "sleep", "1000")
    name = wait_running(run)
    run.send_signal(number)
    text, _ = run.communicate(timeout=60)
    assert run.returncode == 128 + number, text
    assert not traces(name)


def wait_running(run):
    """The name of the network, when the program of a run has started on both nodes."""
    name = name_in(run.stdout.readline())
    busy = lambda: all(b"sleep" in command_lines(f"{name}-node{node}") for node in "AB") if f"{name}-nodeB" in namespaces() else False
    wait_for(busy, "the program runs on both nodes")
    return name


def command_lines(namespace):
    pids = command("ip", "netns", "pids", namespace).split()
    return b" ".join(read(f"/proc/{pid}/comm") for pid in pids)


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""  # it has ended meanwhile


def test_what_a_killed_run_leaves_is_removed_by_down():
    run = start("run", "--nodes", "2", "--", "sleep", "1000")
    name = wait_running(run)
    assert f"{name}: 1gbit, 1" in call("status") and "of a run" in call("status")
    run.kill()
    run.wait()
    assert f"left by a run that was killed: scripts/virtual-nodes.sh down {name}" in call("status")
    call("down", name)
    assert not traces(name)


def test_killed_at_any_moment_of_making():
    random.seed(13)
    for trial in range(10):
        made = start("up", "--nodes", "3")
        time.sleep(random.uniform(0, 0.2))
        made.send_signal(signal.SIGKILL if trial % 2 else signal.SIGTERM)
        made.wait()
        for folder in owned_by(made):
            assert trial % 2 or (folder / "about").exists(), "one that is asked to end removes what is not whole"
            call("down", f"switchyard-{folder.name}")
            assert not traces(f"switchyard-{folder.name}")


def owned_by(process):
    """The folders of networks that a process has made; one killed before it had a name is the next script's to remove."""
    return [path.parent for path in STATE.glob("[0-9a-f][0-9a-f]/owner") if read(path).split()[:1] == [str(process.pid).encode()]]


def test_foreign_things_are_left_alone():
    foreign = "switchyard-foreign"
    command("ip", "netns", "add", foreign)
    try:
        for name in (foreign, "switchyard-00/..", "../switchyard-00", "", "switchyard-zz"):
            assert "is no network of this script" in call("down", name, code=1)
        assert foreign in namespaces()
    finally:
        command("ip", "netns", "del", foreign)


def test_a_namespace_of_the_same_name_that_another_made_is_left_alone():
    with Network("--nodes", "2") as network:
        other = f"{network.name}-nodeB"
        with_inode = subprocess.Popen(["ip", "netns", "exec", other, "sleep", "1000"])  # so that its inode is not used again
        try:
            command("ip", "netns", "del", other)
            command("ip", "netns", "add", other)
            assert f"left alone: the namespace {other} is not the one that was made here" in call("down", network.name, code=1)
            assert [n for n in namespaces() if n.startswith(network.name)] == [other]
        finally:
            with_inode.kill()
            with_inode.wait()
            command("ip", "netns", "del", other)


def test_all_nodes_have_equally_much_time():
    with Network("--nodes", "4") as network:
        burn = "import time; end, begun = time.monotonic() + 1, time.process_time()\nwhile time.monotonic() < end: pass\n" \
            "print(time.process_time() - begun)"
        told = call("status")
        if not groups():
            pytest.skip("no control group can be written here")
        share = len(os.sched_getaffinity(0)) / 4
        assert f"a quota of {share:g} cores a node" in told
        for together in ("A", "ABCD"):  # also when the others leave the core free
            busy = [start("exec", network.name, f"node{node}", "python3", "-c", burn) for node in together]
            times = [float(b.communicate()[0]) for b in busy]
            assert max(times) < 1.2 * share, f"no node has more than its share of {share}: {times}"


@pytest.mark.parametrize("options, message", [
    (["--rate", "fast"], "--rate takes a whole number of mbit or gbit, not 'fast'"),
    (["--rate", "500gbit"], "at most 100gbit"),
    (["--nodes", "0"], "--nodes takes 1 to 26"),
    (["--nodes", "27"], "--nodes takes 1 to 26"),
    (["--cpus", "1000"], "are too many, or too small, for the"),
    (["--cpus", "many"], "--cpus takes a number"),
    (["--delay", "long"], "--delay takes a time"),
    (["--speed", "1"], "unknown option '--speed'"),
    (["--nodes"], "--nodes lacks its value"),
])
def test_bad_options_are_refused(options, message):
    for arguments in (["up", *options], ["run", *options, "--", "true"]):
        refused = start(*arguments)
        text, _ = refused.communicate()
        assert refused.returncode == 1 and message in text
        assert not owned_by(refused)


def test_a_kernel_without_netem_refuses_a_delay():
    run = start("run", "--delay", "1ms", "--", "hostname")
    text, _ = run.communicate()
    if run.returncode == 0:
        assert "delayed by 1ms" in text
    else:
        assert "this kernel cannot delay packets: it has no netem" in text and "leave out --delay" in text
    assert not owned_by(run)


def test_it_says_what_it_needs(tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "dirname", "id", "basename", "nproc", "tail"):
        (tools / tool).symlink_to(shutil.which(tool))
    without = subprocess.run([tools / "bash", SCRIPT, "up"], env={"PATH": str(tools)}, text=True, stderr=subprocess.PIPE)
    assert without.returncode == 1
    assert "ip is missing" in without.stderr and "scripts/deps.sh --network installs iproute2" in without.stderr
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # whom pytest's own folders are closed to
        os.chmod(folder, 0o755)
        copy = shutil.copytree(SCRIPT.parent, f"{folder}/scripts")
        nobody = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", "bash", f"{copy}/{SCRIPT.name}", "up"], text=True,
                                cwd="/", stderr=subprocess.PIPE)
    assert nobody.returncode == 1 and "only root can make network namespaces" in nobody.stderr
