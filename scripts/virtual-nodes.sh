#!/usr/bin/env bash
# Virtual nodes: a slow network on one machine (docs/virtual-nodes.md). Each node has its own network namespace, whose one device is
# limited by a token bucket in both directions, its own cores, host name (nodeA, nodeB, ...) and /dev/shm. Needs root and iproute2.
#   scripts/virtual-nodes.sh run [OPTIONS] [--ranks-per-node R] -- [mpirun options] PROGRAM...    makes them, runs, removes them
#   scripts/virtual-nodes.sh up [OPTIONS]                     makes them and prints their name, switchyard-HH
#   scripts/virtual-nodes.sh mpirun NAME [--ranks-per-node R] -- [mpirun options] PROGRAM...      on nodes that are up
#   scripts/virtual-nodes.sh exec NAME NODE COMMAND...        a command on one of them
#   scripts/virtual-nodes.sh status                           all that there are
#   scripts/virtual-nodes.sh down NAME                        removes them, with every process on them
# Options: --nodes M (2, at most 26), --rate RATE (1gbit; of each device and direction, from 1mbit to 100gbit),
#   --cpus X (cores a node: an equal share of all), --delay TIME (e.g. 1ms; refused where the kernel has no netem).
# `run` hands on the exit code of mpirun, and USR1, USR2 and TERM to it. Nothing but what a folder of /run/switchyard-nodes lists
# is ever removed; no namespace has a way out: no other device, no default route.
called_from=$PWD
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
. scripts/virtual-nodes/lib.sh
. scripts/virtual-nodes/shares.sh

check_machine() {
  [ "$(id -u)" -eq 0 ] || fail "only root can make network namespaces" "run it as root, or in a virtual machine or container where you are"
  local command
  for command in ip tc nsenter unshare setpriv taskset; do
    command -v "$command" >/dev/null || fail "$command is missing" "scripts/deps.sh --network installs iproute2"
  done
}

# read_options ARGUMENTS...: sets nodes, rate, bits_per_second, delay, cpus, ranks; `rest` is what follows `--`.
read_options() {
  nodes=2 rate=1gbit delay="" cpus="" ranks=1 rest=()
  while [ $# -gt 0 ]; do
    case $1 in
      --) shift && rest=("$@") && break ;;
      --nodes | --rate | --delay | --cpus | --ranks-per-node)
        [ $# -gt 1 ] && [[ $2 != --* ]] || fail "$1 lacks its value" "see the head of scripts/virtual-nodes.sh" ;;&
      --nodes) nodes=$2 ;;
      --rate) rate=$2 ;;
      --delay) delay=$2 ;;
      --cpus) cpus=$2 ;;
      --ranks-per-node) ranks=$2 ;;
      *) fail "unknown option '$1'" "see the head of scripts/virtual-nodes.sh" ;;
    esac
    shift 2
  done
  [[ $nodes =~ ^[1-9][0-9]?$ ]] && [ "$nodes" -le 26 ] || fail "--nodes takes 1 to 26, not '$nodes'"
  [[ $ranks =~ ^[1-9][0-9]?$ ]] || fail "--ranks-per-node takes 1 to 99, not '$ranks'"
  [[ $rate =~ ^([1-9][0-9]{0,5})([mg])bit$ ]] || fail "--rate takes a whole number of mbit or gbit, not '$rate'" "e.g. --rate 500mbit"
  bits_per_second=${BASH_REMATCH[1]}000000
  [ "${BASH_REMATCH[2]}" = m ] || bits_per_second+=000
  [ "$bits_per_second" -le 100000000000 ] || fail "--rate takes at most 100gbit, not '$rate'"
  [[ $delay =~ ^([0-9]+(us|ms|s))?$ ]] || fail "--delay takes a time, not '$delay'" "e.g. --delay 100us"
}

# up KIND: `folder` and `name` are the new network's; one that cannot be made is removed.
up() {
  plan_shares "$cpus"
  trap 'trap "" TERM INT HUP USR1 USR2; abandon' EXIT
  claim "$1"
  make_network
  say "$name: $nodes nodes, $rate in each direction${delay:+, delayed by $delay}, $shares$adapter"
}

# start_job FOLDER RANKS ARGUMENTS...: mpirun on the first node, in the background and without the signals of the terminal; the
# kernel ends it with this script. Sets `job`.
start_job() {
  local folder=$1 ranks=$2 hosts subnet
  shift 2
  hosts=$(awk -v r="$ranks" '{ printf "%s%s:%d", (NR > 1 ? "," : ""), $1, r }' "$folder/nodes")
  subnet=$(awk 'NR == 1 { sub(/[0-9]+$/, "0/24", $3); print $3 }' "$folder/nodes")
  export OMPI_MCA_plm_rsh_agent=$root/scripts/virtual-nodes/agent.sh OMPI_MCA_plm=rsh OMPI_MCA_ras=^slurm
  export OMPI_MCA_pml=ob1 OMPI_MCA_btl=${OMPI_MCA_btl:-self,vader,tcp}
  export OMPI_MCA_btl_tcp_if_include=$subnet OMPI_MCA_oob_tcp_if_include=$subnet
  cd "$called_from"
  setpriv --pdeathsig KILL setsid "$root/scripts/virtual-nodes/enter.sh" "$folder" nodeA mpirun --host "$hosts" "$@" &
  job=$!
}

# end_job SIGNAL NUMBER: mpirun gives its ranks a second; what does not end is killed.
end_job() {
  trap '' TERM INT HUP
  kill -TERM "$job" 2>/dev/null || true
  for _ in $(seq 50); do
    kill -0 "$job" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$job" 2>/dev/null || true
  say "ended by $1"
  exit $((128 + $2))
}

# run_job FOLDER RANKS ARGUMENTS...: its exit code is mpirun's.
run_job() {
  local code=0
  start_job "$@"
  trap 'kill -USR1 "$job"' USR1
  trap 'kill -USR2 "$job"' USR2
  trap 'end_job TERM 15' TERM
  trap 'end_job INT 2' INT
  trap 'end_job HUP 1' HUP
  while kill -0 "$job" 2>/dev/null; do wait "$job" || true; done # a signal ends the waiting, not the job
  wait "$job" || code=$?
  trap - ERR
  return "$code"
}

status() {
  local folder
  for folder in "$nodes_root"/[0-9a-f][0-9a-f]; do
    [ -f "$folder/made" ] || continue
    echo "$prefix${folder##*/}: $(cat "$folder/about" 2>/dev/null || echo "not whole"), $(kind_of "$folder")"
    sed 's/^\([^ ]*\) \([^ ]*\) \([^ ]*\) \([^ ]*\) .*/  \1 \3 on core \4/' "$folder/nodes" 2>/dev/null || true
  done
}

# kind_of FOLDER: in words.
kind_of() {
  local kind
  read -r _ _ kind <"$1/owner" 2>/dev/null || kind=unknown
  if [ "$kind" = up ]; then
    echo "up"
  elif is_alive "$1"; then
    echo "of a run"
  else
    echo "left by a run that was killed: scripts/virtual-nodes.sh down $prefix${1##*/}"
  fi
}

command=${1:-}
[ $# -eq 0 ] || shift
step_name=$command
case $command in
  run)
    read_options "$@"
    [ ${#rest[@]} -gt 0 ] || fail "nothing to run" "... run --nodes 2 --rate 1gbit -- PROGRAM ARGUMENTS..."
    check_machine
    up run
    run_job "$folder" "$ranks" "${rest[@]}" ;;
  up)
    read_options "$@"
    check_machine
    up up
    trap - EXIT
    echo "$name" ;;
  mpirun | exec | down)
    check_machine
    folder=$(folder_of "${1:-}")
    name=$1
    shift
    ;;&
  mpirun)
    read_options "$@"
    [ ${#rest[@]} -gt 0 ] || fail "nothing to run" "... mpirun $name -- PROGRAM ARGUMENTS..."
    run_job "$folder" "$ranks" "${rest[@]}" ;;
  exec)
    [ $# -ge 2 ] || fail "exec takes a node and a command" "... exec $name nodeA hostname"
    cd "$called_from"
    exec "$root/scripts/virtual-nodes/enter.sh" "$folder" "$@" ;;
  down)
    [ $# -eq 0 ] || fail "down takes one name"
    remove_network "$folder" || fail "not all of $name was removed" "the lines above say what was left" ;;
  status) status ;;
  *) fail "unknown command '$command'" "one of: run up mpirun exec status down" ;;
esac
