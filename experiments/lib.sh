# What the experiments that are sweeps share. A run.sh says
#   . "$(dirname "$0")/../lib.sh"; experiment COMMAND "$@"
# and gets: run.sh [--scale laptop|full|ci] [--out FOLDER]
#   laptop (default)  laptop.yaml of its folder, on a corpus of 8 MB; what yardstick COMMAND makes of it goes into its folder
#   full              full.yaml, on the standard corpus of 80 MB, with a program built for a GPU; tasks stop after nine minutes
#                     and go on until all are done
#   ci                laptop.yaml cut to 20 steps: only whether it all runs; everything goes below FOLDER
# FOLDER (default runs/NAME-SCALE) holds the sweep; giving it again goes on with what is not done. JOBS tasks at a time.
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

# sweep FILE OUT [key=value …]: until no task stops before its end
sweep() {
  local file=$1 out=$2 code=75
  shift 2
  [ -f "$out/sweep.json" ] && set -- "$out" || set -- "$file" --out "$out" "$@"
  while [ $code -eq 75 ]; do
    code=0
    "$program" sweep run "$@" --jobs "${JOBS:-$jobs}" || code=$?
    set -- "$out"
  done
  [ $code -eq 0 ] || fail "the sweep ended with exit code $code" "$program sweep status $out says which tasks and why"
}

# experiment COMMAND [option …]
experiment() {
  local command=$1 name scale=laptop out="" results megabytes=8 file=laptop short=()
  name=$(basename "$(cd "$(dirname "$0")" && pwd)")
  shift
  while [ $# -gt 0 ]; do
    case "$1 ${2:-}" in
      "--scale laptop" | "--scale full" | "--scale ci") scale=$2 ;;
      "--out "?*) out=$2 ;;
      *) fail "wrong arguments: $*" "run.sh [--scale laptop|full|ci] [--out FOLDER]" ;;
    esac
    shift 2
  done
  out=${out:-runs/$name-$scale} results=experiments/$name
  case $scale in
    full) megabytes=80 file=full results=$out/yardstick ;;
    ci) megabytes=2 results=$out/yardstick short=(train.steps=20 train.batch=8 train.warmup=5 train.evaluate_every=10 train.evaluate_tokens=4096) ;;
  esac
  local backend=openmp
  [ $scale = full ] && backend=cuda
  program=${SWITCHYARD:-build/$backend/switchyard}
  [ -x "$program" ] || fail "$program is not there" "build it (scripts/test.sh $backend), or set SWITCHYARD"
  local corpus=corpus/quickstart-$megabytes
  [ $megabytes = 80 ] && corpus=corpus/standard
  step "corpus"
  SWITCHYARD=$program scripts/corpus.sh $corpus $megabytes
  step "sweep"
  sweep "experiments/$name/$file.yaml" "$out" data.path=$corpus "${short[@]}"
  step "yardstick $command"
  local input=$out
  [ $command = saturation ] && input=$out/results.h5
  [ $command = specialisation ] && input=$(printf '%s ' "$out"/tasks/*/)
  # shellcheck disable=SC2086  # specialisation takes several runs
  .venv/bin/yardstick $command $input --out "$results"
}
