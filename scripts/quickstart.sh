#!/usr/bin/env bash
# From a fresh checkout to a trained mixture-of-experts model and its report.   scripts/quickstart.sh [--short]
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
megabytes=8 steps=() run=runs/quickstart
case ${1:-} in
  "") ;;
  --short) megabytes=2 steps=(train.steps=30 train.warmup=5 train.evaluate_every=15 train.checkpoint_every=20 record.sample_every=10 record.timeline_every=10) run=runs/quickstart-short ;;
  *) fail "unknown option '$1'" "scripts/quickstart.sh [--short]" ;;
esac

step "dependencies"
scripts/deps.sh openmp --python
[ -x .venv/bin/yardstick ] || fail "the Python environment .venv is missing, which the report needs" "run this once without SWITCHYARD_OFFLINE"
step "build"
quiet build/log/quickstart-configure.log cmake --preset openmp
quiet build/log/quickstart-build.log cmake --build --preset openmp -j "$jobs" --target switchyard
program=build/openmp/switchyard

step "the published bits"
"$program" selfcheck --ranks 2

step "corpus ($megabytes MB of text)"
SWITCHYARD=$program scripts/corpus.sh "corpus/quickstart-$megabytes" "$megabytes"

step "training on 2 ranks"
if [ -f "$run/lock" ] && read -r host pid <"$run/lock" && [ "$host" = "$(hostname)" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = switchyard ]; then
  fail "process $pid is training $run" "wait for it, or end it; switchyard resume $run goes on with it"
fi
if [ -e "$run" ]; then
  n=1
  while [ -e "$run.$n" ]; do n=$((n + 1)); done
  mv "$run" "$run.$n"
  echo "an earlier run is kept as $run.$n"
fi
code=0
mpirun --oversubscribe -n 2 "$program" train experiments/quickstart/quickstart.yaml --run "$run" \
  "data.path=corpus/quickstart-$megabytes" "${steps[@]}" || code=$?
if [ "$code" -ne 0 ]; then
  advice=$([ -f "$run/config.yaml" ] && echo "mpirun --oversubscribe -n 2 $program resume $run goes on with it" || true)
  fail "exit code $code" "$advice"
fi

step "report"
.venv/bin/yardstick report "$run"
"$program" generate "$run" --prompt "The function returns" --tokens 60

echo
echo "report:      $root/$run/report/index.html"
echo "look at:     the loss against tokens, the load of each expert over time, and what each expert specialises in"
echo "the records: $root/$run/segments/000/run.h5 (h5py, xarray), checkpoints beside it"
echo "verify:      $program verify $run"
