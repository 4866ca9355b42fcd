# Shared by the scripts of this folder: named steps that say what failed, and the environment that Open MPI needs here.
set -eEuo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
step_name="start"
step_start=$SECONDS
named=98 # exit code of a subshell that has said what failed

# step NAME: the work that follows; its name is what a failure is reported under.
step() {
  step_name=$1
  step_start=$SECONDS
  printf '== %s\n' "$step_name"
}

# fail WHY WHAT-TO-DO
fail() {
  trap - ERR
  printf '\n%s: step "%s" failed: %s\n' "$(basename "$0")" "$step_name" "$1" >&2
  [ $# -gt 1 ] && printf '  %s\n' "$2" >&2
  [ "$BASH_SUBSHELL" -eq 0 ] || exit "$named"
  exit 1
}

# on_error CODE LINE: a subshell leaves it to its parent to name a failure, which is quiet about one that is named already.
on_error() {
  [ "$BASH_SUBSHELL" -eq 0 ] || exit "$1"
  [ "$1" -ne "$named" ] || exit 1
  fail "command ended with $1 at line $2"
}
trap 'on_error $? $LINENO' ERR

# quiet LOG COMMAND...: output goes to a file, whose end is shown if the command fails.
quiet() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  if ! "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    fail "'$*' failed" "the whole output is in $log"
  fi
}

# in_memory: temporary folders are in memory from here on, where there is room: tests and campaigns wait for what they write to reach
# the disk, which is none of what they are about: only scripts/powercut.py loses what a kernel has been given.
in_memory() {
  local room
  room=$(df --output=avail -k /dev/shm 2>/dev/null | tail -n 1 || true)
  [ "${room:-0}" -lt 4194304 ] || export TMPDIR=${TMPDIR:-/dev/shm}
}

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_hwloc_base_binding_policy=none OMP_PROC_BIND=false
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE 2>/dev/null || true
if command -v ccache >/dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache CMAKE_CUDA_COMPILER_LAUNCHER=ccache
  export CCACHE_SLOPPINESS=pch_defines,time_macros
  export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=yes # what one clone compiled serves another
fi
jobs=$(nproc)
