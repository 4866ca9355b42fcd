#!/usr/bin/env bash
# Starts a Slurm of its own on this machine, in one folder, beside whatever else runs here:
#   tests/slurm/up.sh FOLDER [--nodes N] [--cpus N] [--gpus N] [--with-stdin] [--network NAME]
# It runs until down.sh FOLDER. With --with-stdin also until the standard input of up.sh is closed: the end of the process
# that holds the other end, by whatever cause, ends the cluster and removes FOLDER. Needs root, slurm-wlm and munge;
# touches nothing under /etc or /run. With --network its nodes are those of a network of scripts/virtual-nodes.sh, as many as --nodes,
# and its commands work on the first of them. A folder whose cluster is up is left as it is.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/lib.sh"

folder=$(realpath -m "${1:?usage: up.sh FOLDER [--nodes N] [--cpus N] [--gpus N] [--with-stdin] [--network NAME]}")
shift
arguments=("$@") network=
nodes=4 cpus=4 gpus=2 input=/dev/null
while [ $# -gt 0 ]; do
  case $1 in
    --nodes) nodes=$2; shift 2 ;;
    --cpus) cpus=$2; shift 2 ;;
    --gpus) gpus=$2; shift 2 ;;
    --network) network=$2; shift 2 ;;
    --with-stdin) input=/dev/stdin; shift ;;
    *) echo "up.sh: unknown option '$1'" >&2; exit 2 ;;
  esac
done

if [ -n "$network" ] && [ -z "${SWITCHYARD_NODES:-}" ]; then
  exec "$here/../../scripts/virtual-nodes.sh" exec "$network" nodeA "$here/up.sh" "$folder" "${arguments[@]}"
fi
if is_up "$folder"; then
  echo "export SLURM_CONF=$folder/etc/slurm.conf  # was up"
  exit 0
fi
write_folder "$folder" "$nodes" "$cpus" "$gpus"
export SLURM_CONF=$folder/etc/slurm.conf
setsid "$here/cluster.sh" "$folder" "$nodes" <$input >"$folder/log/cluster.log" 2>&1 &
cluster=$!

all_idle() { [ "$(sinfo -h -t idle -o %D 2>/dev/null)" = "$nodes" ]; }
for _ in $(seq 300); do
  all_idle && break
  kill -0 "$cluster" 2>/dev/null || break
  sleep 0.1
done
if ! all_idle; then
  echo "up.sh: the cluster does not come up; the ends of its logs:" >&2
  tail -n 5 "$folder"/log/*.log >&2
  "$here/down.sh" "$folder"
  exit 1
fi
echo "export SLURM_CONF=$SLURM_CONF"
