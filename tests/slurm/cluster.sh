#!/usr/bin/env bash
# The process that a cluster of up.sh lives and dies with: cluster.sh FOLDER NODES. Every daemon is its child and is
# killed by the kernel when this process ends in any way (pdeathsig); what runs on a node ends with the node, which is a
# process namespace. Ends by SIGTERM; or, with its folder, when its standard input is a pipe whose other end is closed.
set -u
folder=$1 nodes=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export SLURM_CONF=$folder/etc/slurm.conf
echo $$ >"$folder/run/cluster.pid"
children=()

# start COMMAND...: a child that does not outlive this process.
start() {
  setpriv --pdeathsig KILL "$@" </dev/null &
  children+=($!)
}
stop() {
  trap '' TERM
  kill -KILL "${children[@]}" 2>/dev/null
  for node in "$folder"/run/n*.pid; do  # also those that were started anew
    pid=$(cat "$node") && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q "$folder" && kill -KILL "$pid"
  done
  wait
  rm -f "$folder"/run/*.pid
  [ "${1:-}" != abandoned ] || rm -rf "$folder"
  exit 0
}
trap stop TERM

# munged demands a folder of its own for the socket, its seed and its log; --force: as root, in a folder of root's.
start munged --foreground --force --key-file="$folder/etc/munge.key" --socket="$folder/run/munge.sock" \
  --seed-file="$folder/run/munge.seed" --pid-file="$folder/run/munged.daemon" --num-threads=2
for _ in $(seq 200); do
  [ -S "$folder/run/munge.sock" ] && break
  sleep 0.05
done
start slurmctld -D -c -f "$SLURM_CONF"
for i in $(seq "$nodes"); do start "$here/node.sh" "$folder" "n$i"; done

# Standard input is /dev/null or a pipe of which only its end is of interest. Not read by this shell: a trap would wait.
if [ -p /dev/stdin ]; then
  cat <&0 >/dev/null &
  children+=($!)
  wait $!
  stop abandoned
fi
wait
