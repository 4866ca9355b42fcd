# What the experiments share: run.sh [--scale laptop|full|ci] [--out FOLDER]
#   laptop (default)  minutes on two cores
#   full              a program built for a GPU, the standard corpus of 80 MB; tasks stop after nine minutes and go on until all are done
#   ci                cut short: only whether it all runs
# FOLDER (default runs/NAME-SCALE) holds corpora and runs; giving it again goes on with what is not done.
. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

# options "$@": sets name (of the experiment), scale, out and program
options() {
  name=$(basename "$(dirname "$script")") scale=laptop out=""
  while [ $# -gt 0 ]; do
    case "$1 ${2:-}" in
      "--scale laptop" | "--scale full" | "--scale ci") scale=$2 ;;
      "--out "?*) out=$2 ;;
      *) fail "wrong arguments: $*" "experiments/$name/run.sh [--scale laptop|full|ci] [--out FOLDER]" ;;
    esac
    shift 2
  done
  out=${out:-runs/$name-$scale}
  program=${SWITCHYARD:-build/openmp/switchyard}
  [ -x "$program" ] || fail "$program is not there" "build it (scripts/test.sh, or scripts/test.sh cuda), or set SWITCHYARD"
}

# sweep FILE OUT [key=value ...]: JOBS tasks at a time (default: one a core, on a GPU one), until none stops before its end. A signal
# stops the tasks after a checkpoint, and then this script with exit code 75. The program refuses a folder of another sweep.
sweep() {
  local file=$1 folder=$2 code=75 at_once=$jobs stopped="" running
  [ "$scale" = full ] && at_once=1
  shift 2
  trap 'stopped=yes; kill -TERM "$running" 2>/dev/null' INT TERM USR1 USR2
  while [ $code -eq 75 ] && [ -z "$stopped" ]; do
    code=0
    "$program" sweep run "$file" --out "$folder" "$@" --jobs "${JOBS:-$at_once}" &
    running=$!
    wait "$running" || code=$?
    while kill -0 "$running" 2>/dev/null; do wait "$running" || code=$?; done # a trap ends a wait early
  done
  trap - INT TERM USR1 USR2
  [ -z "$stopped" ] || { echo "stopped: run this again to go on" >&2; exit 75; }
  [ $code -eq 0 ] || fail "the sweep ended with exit code $code" "the lines above, and $program sweep status $folder, say why"
}

# experiment COMMAND "$@": the sweep of this folder, then yardstick COMMAND over it, which writes into the folder that `results` then
# names; at laptop scale that is committed. beside: other sweeps of the folder, at laptop scale and ci (there NAME-ci.yaml, if there is
# one), that yardstick takes as --NAME; their tasks run one at a time, or beside_jobs
experiment() {
  local command=$1 megabytes=8 file=laptop short=() input other
  shift
  options "$@"
  results=experiments/$name
  case $scale in
    full) megabytes=80 file=full results=$out/yardstick program=${SWITCHYARD:-build/cuda/switchyard} ;;
    ci)
      megabytes=2 results=$out/yardstick
      [ ! -f "experiments/$name/ci.yaml" ] || file=ci
      short=(train.steps=20 train.batch=8 train.warmup=5 train.evaluate_every=10 train.evaluate_tokens=4096) ;;
  esac
  [ -n "${whole_corpus:-}" ] && [ "$scale" != ci ] && megabytes=80
  local corpus=corpus/quickstart-$megabytes
  [ $megabytes = 80 ] && corpus=corpus/standard
  step "corpus"
  SWITCHYARD=$program scripts/corpus.sh "$corpus" $megabytes
  step "sweep"
  sweep "experiments/$name/$file.yaml" "$out" "data.path=$corpus" "${short[@]}"
  input=("$out")
  [ "$command" = saturation ] && input=("$out/results.h5" --published experiments/law-from-published-curves)
  [ "$command" = specialisation ] && input=("$out"/tasks/*/)
  [ "$scale" = full ] && beside=()
  [ "$scale" = ci ] && short+=(train.steps=10)
  for other in "${beside[@]}"; do
    file=experiments/$name/$other
    [ "$scale" = ci ] && [ -f "$file-ci.yaml" ] && file+=-ci
    JOBS=${beside_jobs:-1} sweep "$file.yaml" "$out-$other" "data.path=$corpus" "${short[@]}"
    input+=("--$other" "$out-$other/results.h5")
  done
  step "yardstick $command"
  .venv/bin/yardstick "$command" "${input[@]}" --out "$results"
  # the verdicts of its other sweeps, from what is committed of them
  [ "$command" != router-learning ] || .venv/bin/yardstick judge "$results" --out "$results"
}
script=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)/run.sh
