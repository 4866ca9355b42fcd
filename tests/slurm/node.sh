#!/usr/bin/env bash
# One node of a cluster: node.sh FOLDER NAME. It has its own host name, its own /dev/shm, since Open MPI names files there
# after host and user only, and its own process namespace: to kill the process FOLDER/run/NAME.pid switches the node off,
# with everything that runs on it. In a cluster on virtual nodes it first enters the one that is its own.
set -eu
folder=$1 name=$2
if [ $# -eq 2 ] && [ -e "$folder/etc/network" ]; then
  read -r network node < <(sed -n "s/^$name //p" "$folder/etc/network")
  exec "$(dirname "$0")/../../scripts/virtual-nodes/enter.sh" "$network" "$node" "$0" "$folder" "$name" entered
fi
echo $$ >"$folder/run/$name.pid"
exec >>"$folder/log/$name.log" 2>&1
# The shell inside is process 1 of the namespace: it adopts and reaps what the steps leave behind.
exec unshare --uts --mount --pid --fork --kill-child=KILL --mount-proc bash -c '
  hostname "$2" && mount -t tmpfs -o size=512m tmpfs /dev/shm
  slurmd -D -c -f "$1/etc/slurm.conf" -N "$2" &
  wait' node "$folder" "$name"
