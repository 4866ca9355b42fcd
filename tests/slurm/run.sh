#!/usr/bin/env bash
# The scenarios against a real Slurm: tests/slurm/run.sh PROGRAM [pytest options and files]. Exit code 77, with the reason, where this
# machine cannot have a Slurm of its own.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

skip() {
  echo "SKIPPED: $1"
  exit 77
}
[ "$(id -u)" -eq 0 ] || skip "only root can make nodes with host names of their own"
for command in slurmctld slurmd sbatch srun munged setpriv mpirun; do
  command -v "$command" >/dev/null || skip "$command is missing; scripts/deps.sh --slurm installs Slurm and munge"
done
unshare --uts --mount --pid --fork --mount-proc bash -c 'hostname n1 && mount -t tmpfs -o size=1m tmpfs /dev/shm' 2>/dev/null ||
  skip "this machine refuses namespaces (unshare --uts --mount --pid, mount)"
if [[ "$*" == *network_test* ]]; then
  for command in ip tc; do command -v "$command" >/dev/null || skip "$command is missing; scripts/deps.sh --network installs iproute2"; done
fi
probe=$(mktemp -d)
trap 'rm -rf "$probe"' EXIT
printf 'ClusterName=probe\nSlurmctldHost=localhost\n' >"$probe/slurm.conf"
SLURM_CONF=$probe/slurm.conf srun --mpi=list 2>&1 | grep -q pmix || skip "this Slurm has no PMIx plugin"
mknod "$probe/device" c 1 3 2>/dev/null || skip "this machine refuses devices (mknod)"
python=$root/.venv/bin/python
[ -x "$python" ] || python=python3
"$python" -c 'import pytest, h5py' 2>/dev/null || skip "pytest or h5py is missing; scripts/deps.sh --python installs them"

SWITCHYARD=$(realpath "${1:?usage: run.sh PROGRAM [pytest options and files]}")
export SWITCHYARD
shift
cd "$here"
rm -rf "$probe"
exec "$python" -m pytest -p no:cacheprovider -v -rs --durations=0 --durations-min=0.5 "$@"
