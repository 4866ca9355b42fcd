#!/usr/bin/env bash
# Runs a command on a virtual node: enter.sh FOLDER NODE COMMAND...   (FOLDER: what virtual-nodes.sh made under /run/switchyard-nodes)
# The command has the network, the cores and the share of time of the node, its host name, and a /dev/shm of its own, since Open MPI
# names files there after host and user only. This process becomes the command, so that its id and its death signal stay.
set -euo pipefail
folder=$1 node=$2
shift 2
read -r _ namespace _ cpus group < <(grep "^$node " "$folder/nodes") || {
  echo "enter.sh: $folder has no node '$node'" >&2
  exit 2
}
[ "$group" = - ] || echo $$ >"$group/cgroup.procs"
export SWITCHYARD_NODES=$folder
export OMPI_MCA_orte_tmpdir_base=$folder/tmp/$node # Open MPI names its folders after host and process, which two networks share
exec taskset -c "$cpus" nsenter --net="/var/run/netns/$namespace" unshare --uts --mount bash -c '
  hostname "$1" && mount -t tmpfs -o size=50% tmpfs /dev/shm && mount --bind "$2/hosts" /etc/hosts && shift 2 && exec "$@"' \
  enter "$node" "$folder" "$@"
