#!/usr/bin/env bash
# Communication, counted and timed: run.sh [--scale ci|laptop|full] [--out FOLDER]; see ../lib.sh
#   ci: one rate and two steps, only whether it all runs; laptop (default): two nodes of one core each, forty minutes, and timelines of
#   training steps; full: two of eight cores, and weak scaling to four, ten minutes. What is timed needs root, iproute2 and a quiet
#   machine. Results that FOLDER/SCALE/results has already are kept.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
options "$@"
export OMP_NUM_THREADS=1
router_steps=400
router=(record.sample_every=10 train.evaluate_every=200)
steps=(--warmup 1 --repetitions 5)
timeline_steps=40 timeline_every=20 # by then the loads of the ranks are nearly even
tokens=512 rates="3000 1500 900 700 600 450 400 300 200 150" lanes=4,8 nodes="2 4 8" weak="1 2" weak_rate=900 timeline_rate=450
case $scale in
  ci) steps=(--warmup 1 --repetitions 1) tokens=64 rates=600 lanes=4 nodes="2 4" timeline_steps=2 timeline_every=2 ;;
  full) weak="1 2 4" rates="3000 1200 800 600 400" ;;
esac
[ "$scale" != ci ] || router_steps=4 router=(train.batch=8 train.warmup=1 record.sample_every=1 train.evaluate_every=0)
results=$out/$scale/results
mkdir -p "$results"

step "rows across nodes, counted"
if [ ! -f "$results/exchange.jsonl" ]; then
  rm -f "$out/exchange.tmp"
  mpirun --oversubscribe -n 16 "$program" bench exchange --tokens "$tokens" --json "$out/exchange.tmp" >"$out/exchange.txt"
  mv "$out/exchange.tmp" "$results/exchange.jsonl"
fi

step "a trained router, counted before and after placement"
if [ "$scale" != full ] && { [ ! -f "$results/trained.json" ] || [ ! -f "$results/journeys.csv" ]; }; then
  SWITCHYARD=$program scripts/corpus.sh corpus/quickstart-2 2
  rm -rf "$out/$scale/trained" "$out/trained.tmp"
  mpirun --oversubscribe -n 2 "$program" train experiments/small.yaml --run "$out/$scale/trained" data.path=corpus/quickstart-2 \
    model.blocks=3 moe.experts=32 moe.top_k=4 moe.hidden=64 moe.bias_rule=centred_sign moe.bias_rate=0.01 train.steps="$router_steps" "${router[@]}"
  for n in $nodes; do
    .venv/bin/yardstick placement "$out/$scale/trained" --nodes "$n" --out "$out/$scale/placed-$n.yaml" --counts "$out/trained.tmp"
  done
  mv "$out/trained.tmp" "$results/trained.json"
fi

step "that router, counted by the program as it trains on"
if [ "$scale" != full ] && [ ! -f "$results/journeys.csv" ]; then
  runs=()
  for n in 2 4; do
    for way in pairwise node placed; do # placed: by nodes too, with experts where the file has them
      runs+=("$out/$scale/journeys-$n-$way")
      where=(layout.exchange="$way")
      [ "$way" != placed ] || where=(layout.exchange=node layout.placement="$(realpath "$out")/$scale/placed-$n.yaml")
      rm -rf "${runs[-1]}"
      cp -r "$out/$scale/trained" "${runs[-1]}"
      mpirun --oversubscribe -n "$n" "$program" resume "${runs[-1]}" train.steps="$((router_steps + 10))" \
        layout.expert_parallel="$n" layout.ranks_per_node=1 "${where[@]}"
    done
  done
  .venv/bin/yardstick journeys "${runs[@]}" --out "$results/journeys.csv"
fi

# What limits the links is the kernel; with these settings a small message does not wait behind a large one (docs/virtual-nodes.md).
settings=(--mca btl_tcp_flags 9 --mca btl_tcp_sndbuf 262144)

# run_on NODES MEGABITS ARGUMENTS...: the program on virtual nodes
run_on() {
  local nodes=$1 rate=$2
  shift 2
  scripts/virtual-nodes.sh run --nodes "$nodes" --rate "${rate}mbit" -- "${settings[@]}" "$(realpath "$program")" "$@" >"$out/step.log" 2>&1 ||
    fail "a measurement failed: $(tail -n 3 "$out/step.log")" "the whole output is in $out/step.log"
}

# on_nodes NODES MEGABITS FILE OPTION ARGUMENTS...: a benchmark; what it writes, by OPTION, becomes FILE of the results
on_nodes() {
  local nodes=$1 rate=$2 file=$3 option=$4 written=$(realpath "$out")/written.tmp
  shift 4
  [ ! -f "$results/$file" ] || return 0
  rm -f "$written"
  run_on "$nodes" "$rate" bench "$@" "$option" "$written"
  mv "$written" "$results/$file"
}

step "steps on two virtual nodes"
if [ "$(id -u)" -ne 0 ] || ! command -v tc >/dev/null; then
  echo "   SKIPPED: virtual nodes need root and iproute2 (scripts/deps.sh --network)"
  exit 0
fi
model=$root/experiments/communication/overlap.yaml
interleaved="layout.schedule=interleaved layout.lanes="
hidden="${interleaved}${lanes##*,} layout.exchange=node"
# Eight grains a rank, so up to eight lanes; other layouts beside these are for ../planning, and so is the machine, described before the
# steps and after each turn of them.
for rate in $rates; do
  [ ! -f "$results/steps-${rate}mbit.jsonl" ] || continue
  rm -f "$out"/machine-*.yaml
  on_nodes 2 "$rate" "steps-${rate}mbit.jsonl" --json overlap "$model" --lanes "$lanes" "${steps[@]}" \
    --with "$hidden layout.zero=1" --with "$hidden layout.recompute=experts" --with "$hidden layout.recompute=blocks" --with "$hidden layout.local_first=true" \
    --with layout.expert_parallel=1 --with "layout.expert_parallel=1 layout.zero=1" --machine "$(realpath "$out")/machine-${rate}mbit.yaml"
  mv "$out/machine-${rate}mbit"-*.yaml "$results"
done

step "weak scaling: as many tokens on each node"
for n in $weak; do
  on_nodes "$n" "$weak_rate" "weak-$n.jsonl" --json step "$model" train.batch=$((8 * n)) train.grains=$((8 * n)) layout.expert_parallel="$n" \
    "${steps[@]}" --with "${interleaved}4" --with "${interleaved}8" --with "${interleaved}8 layout.exchange=node"
done

# timeline NAME OPTIONS...: the last of some training steps, task by task, drawn as timeline-NAME
timeline() {
  local drawn=$1 run
  run=$(realpath "$out")/$scale/timeline-$drawn
  shift
  [ ! -d "$run/timeline" ] || return 0
  rm -rf "$run"
  run_on 2 "$timeline_rate" train "$model" --run "$run" data.path="$root/corpus/quickstart-bytes" model.vocabulary=0 train.steps="$timeline_steps" \
    train.warmup=1 train.evaluate_every=0 train.checkpoint_every=0 record.flush_every="$timeline_every" record.timeline_every="$timeline_every" "$@"
  .venv/bin/yardstick timeline "$out/$scale/timeline-$drawn"
}
if [ "$scale" != full ]; then
  step "timelines of training steps at $timeline_rate Mbit/s"
  TOKENIZER=bytes SWITCHYARD=$program scripts/corpus.sh corpus/quickstart-bytes 2
  timeline serial
  timeline hidden layout.schedule=interleaved layout.lanes=8 layout.exchange=node
  for drawn in serial hidden; do "$program" verify "$out/$scale/timeline-$drawn" --digest >"$out/digest-$drawn.txt"; done
  cmp "$out/digest-serial.txt" "$out/digest-hidden.txt" || fail "the two runs have other bits" "report it with both folders"
  mv "$out/digest-hidden.txt" "$results/timeline-digests.txt"
fi

step "report"
figures=experiments/communication
[ "$scale" != full ] || figures=experiments/communication/sixteen-cores
[ "$scale" != ci ] || figures=$out/yardstick
if [ "$scale" != ci ]; then
  rm -rf "$figures/results" # of one protocol
  mkdir -p "$figures/results"
  cp "$results"/* "$figures/results"
  results=$figures/results
fi
.venv/bin/yardstick communication "$results" --out "$figures"
[ "$scale" != laptop ] || for drawn in serial hidden; do
  for kind in .svg .png .csv -ranks.csv; do
    cp "$out/$scale/timeline-$drawn/timeline/timeline$kind" "$figures/timeline-$drawn$kind"
  done
done
