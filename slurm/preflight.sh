#!/usr/bin/env bash
# Which launch works here, and why another does not: what to write into the file of this machine.
#   slurm/preflight.sh [salloc options]     takes two nodes for three minutes (or the options given), or uses the job it is in
# Four launches, a look at the folder and the comparison with the published bits have 20 s each: half a minute as a rule,
# two where all hang.
# Exit code 0 where some launch starts all ranks as one program and the bits are the published ones, where there are some.
# Uses SWITCHYARD and SWITCHYARD_MACHINE.
set -u
if [ -z "${SLURM_JOB_ID:-}" ]; then
  [ $# -gt 0 ] || set -- --nodes=2 --ntasks-per-node=2 --time=3
  exec salloc --quiet --job-name=preflight "$@" "$0"
fi
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
load_machine
ranks=${SLURM_NTASKS:-1}
work=$(mktemp -d "$PWD/preflight.XXXXXX")  # here, since all nodes must see it
trap 'rm -rf "$work"' EXIT
limit=20

facts() {
  echo "$(scontrol --version), $SLURM_JOB_NUM_NODES node(s) $SLURM_JOB_NODELIST, $ranks ranks"
  scontrol show config | sed -n 's/^\(MpiDefault\|KillWait\|JobRequeue\|KillOnBadExit\|RequeueExit\|PreemptMode\) *= */  \1=/p'
  echo "  srun --mpi=list: $(srun --mpi=list 2>&1 | sed '/plugin types/d' | paste -sd' ' | tr -s '\t ' ' ')"
  echo "  KillWait is the time for a checkpoint after scancel and after a time limit that came without warning"
}

# Every node must see the files of this folder, or no run folder is shared.
shared_folder() {
  local missing
  missing=$(timeout $limit srun --mpi=none --ntasks-per-node=1 --ntasks="$SLURM_JOB_NUM_NODES" \
    bash -c '[ -d "$1" ] || hostname' - "$work" 2>&1)
  [ -z "$missing" ] && echo "folder $PWD: seen by every node" ||
    echo "folder $PWD: NOT seen by every node; start from a shared file system. srun says: $missing"
}

# One step on random tokens: the first lines of a real training, MPI included.
write_config() {
  printf '%s\n' 'model: {vocabulary: 64, width: 16, blocks: 1, heads: 2, context: 16, hidden: 32}' \
    'moe: {experts: 4, top_k: 2, hidden: 16}' "train: {batch: $ranks, grains: $ranks}" >"$work/config.yaml"
}

# What the output of a launch that failed means; else its last line that is not a frame.
reason() {
  local output=$1
  if grep -qi "invalid MPI type\|Couldn't find the specified plugin\|cannot find mpi plugin" "$output"; then
    echo "this Slurm has no such plugin"
  elif grep -q "PMI support\|PMI-1\|--with-pmi" "$output"; then
    echo "the program's MPI was built without Slurm's PMI-1 and PMI-2; it may have PMIx"
  elif grep -q "\borted\b\|ORTE daemon\|unable to reach\|no route" "$output"; then
    echo "mpirun cannot start or reach its daemons on other nodes; OMPI_MCA_oob_tcp_if_include=<interface> may help"
  elif grep -q "not enough slots\|slots available" "$output"; then
    echo "mpirun sees fewer slots than ranks; it may be built without Slurm support"
  elif grep -q "run as root\|running as root" "$output"; then
    echo "Open MPI refuses root; set OMPI_ALLOW_RUN_AS_ROOT=1 and OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
  elif grep -q "command not found\|No such file" "$output"; then
    echo "a program is missing: $(grep -m 1 "command not found\|No such file" "$output")"
  else
    { grep -v '^[-= ]*$\|^srun: ' "$output" || cat "$output"; } | tail -n 1
  fi
}

# try NAME WORDS...: whether these words start all ranks as one program. A world of one rank a process is the usual way
# to fail: every rank would train the whole model, and all but one be refused the run folder.
try() {
  local name=$1 output code seconds worlds
  output=$work/${name//[^a-z0-9]/_}
  shift
  SECONDS=0
  timeout -k 2 $limit "$@" "$program" bench step "$work/config.yaml" --warmup 0 --repetitions 1 >"$output" 2>&1
  code=$?
  seconds=$SECONDS
  worlds=$(grep -c '"ranks":' "$output")
  if [ $code -eq 0 ] && [ "$worlds" -eq 1 ] && grep -q "\"ranks\":$ranks," "$output"; then
    printf '%-18s works (%s s)\n' "$name" "$seconds"
    works+=("$name")
    [ ${#works[@]} -gt 1 ] || words=("$@")
  elif [ "$worlds" -ge 1 ]; then
    printf '%-18s fails: %s rank(s) of a world of their own, since MPI does not know this launcher\n' "$name" "$worlds"
  elif [ $code -eq 124 ] || [ $code -eq 137 ]; then
    printf '%-18s fails: no end within %s s; %s\n' "$name" $limit "$(reason "$output")"
  else
    printf '%-18s fails (exit code %s): %s\n' "$name" $code "$(reason "$output")"
  fi
}

works=() words=()
facts
"$program" --version >"$work/version" 2>&1 || { echo "$program does not start even without MPI: $(tail -n 1 "$work/version")"; exit 1; }
shared_folder
write_config
for mpi in pmix pmi2; do try "srun --mpi=$mpi" srun --mpi=$mpi; done
try "srun" srun
try "mpirun" mpirun -n "$ranks" "${mpirun_options[@]}"
[ "$ranks" -gt 1 ] || try "none"
if [ ${#works[@]} -eq 0 ]; then
  echo "no launch works: the program's MPI fits neither this Slurm nor its own mpirun"
  exit 1
fi
bits=0
timeout -k 2 $limit "${words[@]}" "$program" selfcheck >"$work/bits" 2>&1 || bits=$?
echo "bits of all ranks: $(grep -E "published" "$work/bits" || tail -n 1 "$work/bits")"
case ${works[0]} in
  "srun --mpi="*) echo "write into the machine's file: launcher=srun mpi=${works[0]#*=}" ;;
  srun) echo "write into the machine's file: launcher=srun mpi=" ;;
  *) echo "write into the machine's file: launcher=${works[0]}" ;;
esac
[ "$bits" -eq 0 ] || { echo "selfcheck ended with $bits: that the bits here are those of other machines is not known"; exit 1; }
