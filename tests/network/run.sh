#!/usr/bin/env bash
# The tests of scripts/virtual-nodes.sh: tests/network/run.sh PROGRAM LINK [pytest options and files], with the trainer and
# network.link. Exit code 77, with the reason, where this machine cannot have virtual nodes.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

skip() {
  echo "SKIPPED: $1"
  exit 77
}
[ "$(id -u)" -eq 0 ] || skip "only root can make network namespaces"
for command in ip tc; do
  command -v "$command" >/dev/null || skip "$command is missing; scripts/deps.sh --network installs iproute2"
done
for command in nsenter unshare setpriv taskset mpirun; do
  command -v "$command" >/dev/null || skip "$command is missing"
done
python=$root/.venv/bin/python
[ -x "$python" ] || python=python3
"$python" -c 'import pytest' 2>/dev/null || skip "pytest is missing; scripts/deps.sh --python installs it"
# Whether the kernel has namespaces, veth pairs, bridges and token buckets is seen in a namespace that ends with its one process.
unshare --net bash -c '
  ip link add v0 type veth peer name v1 && ip link add br0 type bridge &&
    tc qdisc add dev v0 root tbf rate 1mbit burst 16384 limit 65536
  ' 2>/dev/null || skip "this machine refuses network namespaces, veth pairs, bridges or token buckets"
unshare --uts --mount bash -c 'hostname n && mount -t tmpfs -o size=1m tmpfs /dev/shm' 2>/dev/null ||
  skip "this machine refuses namespaces (unshare --uts --mount, mount)"

SWITCHYARD=$(realpath "${1:?usage: run.sh PROGRAM LINK [pytest options and files]}")
LINK=$(realpath "${2:?usage: run.sh PROGRAM LINK [pytest options and files]}")
export SWITCHYARD LINK
shift 2
cd "$here"
exec "$python" -m pytest -p no:cacheprovider -v -rs --durations=0 --durations-min=0.5 "$@"
