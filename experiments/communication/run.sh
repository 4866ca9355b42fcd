#!/usr/bin/env bash
# Communication, counted and timed: run.sh [--scale ci|laptop|full] [--out FOLDER]; see ../lib.sh
#   ci: one rate and two steps, only whether it all runs; laptop (default) and full: fourteen minutes of two cores, the README's figures. What
#   is timed needs root, iproute2 and a quiet machine. Results that FOLDER/SCALE/results has already are kept.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
options "$@"
export OMP_NUM_THREADS=1
router=(train.steps=400 record.sample_every=10 train.evaluate_every=200)
steps=(--warmup 2 --repetitions 9) tokens=512 rates="3000 1500 900 600 400 200" lanes="2 4" nodes="2 4 8"
[ "$scale" != ci ] || { steps=(--warmup 1 --repetitions 1) tokens=64 rates=600 lanes=4 nodes=2; }
[ "$scale" != ci ] || router=(train.steps=4 train.batch=8 train.warmup=1 record.sample_every=1 train.evaluate_every=0)
results=$out/$scale/results
mkdir -p "$results"

step "rows across nodes, counted"
if [ ! -f "$results/exchange.jsonl" ]; then
  rm -f "$out/exchange.tmp"
  mpirun --oversubscribe -n 16 "$program" bench exchange --tokens "$tokens" --json "$out/exchange.tmp" >"$out/exchange.txt"
  mv "$out/exchange.tmp" "$results/exchange.jsonl"
fi

step "a trained router, counted before and after placement"
if [ ! -f "$results/trained.json" ]; then
  SWITCHYARD=$program scripts/corpus.sh corpus/quickstart-2 2
  rm -rf "$out/$scale/trained" "$out/trained.tmp"
  mpirun --oversubscribe -n 2 "$program" train experiments/small.yaml --run "$out/$scale/trained" data.path=corpus/quickstart-2 \
    model.blocks=3 moe.experts=32 moe.top_k=4 moe.hidden=64 moe.bias_rule=centred_sign moe.bias_rate=0.01 "${router[@]}"
  for n in $nodes; do
    .venv/bin/yardstick placement "$out/$scale/trained" --nodes "$n" --out "$out/$scale/placed-$n.yaml" --counts "$out/trained.tmp"
  done
  mv "$out/trained.tmp" "$results/trained.json"
fi

# What limits the links is the kernel; with these settings a small message does not wait behind a large one (docs/virtual-nodes.md).
settings=(--mca btl_tcp_flags 9 --mca btl_tcp_sndbuf 262144)

# measure FILE OPTION...: one line of bench step, on the nodes that are up
measure() {
  local file=$1
  shift
  scripts/virtual-nodes.sh mpirun "$network" -- "${settings[@]}" "$(realpath "$program")" bench step \
    "$root/experiments/communication/overlap.yaml" "$@" "${steps[@]}" --json "$file" >"$out/step.log" 2>&1 ||
    fail "a measurement failed: $(tail -n 3 "$out/step.log")" "the whole output is in $out/step.log"
}

# at_rate MEGABITS: serial and straight first, then every lane count, straight and by nodes
at_rate() {
  local file=$PWD/$out/steps.tmp n
  [[ $out != /* ]] || file=$out/steps.tmp
  rm -f "$file"
  network=$(scripts/virtual-nodes.sh up --nodes 2 --rate "$1mbit" 2>"$out/network.log")
  trap 'scripts/virtual-nodes.sh down "$network"' EXIT
  measure "$file"
  for n in $lanes; do
    measure "$file" layout.schedule=interleaved layout.lanes="$n"
    measure "$file" layout.exchange=node layout.schedule=interleaved layout.lanes="$n"
  done
  measure "$file" layout.exchange=node
  scripts/virtual-nodes.sh down "$network"
  trap - EXIT
  mv "$file" "$results/steps-$1mbit.jsonl"
}

step "steps on two virtual nodes"
if [ "$(id -u)" -ne 0 ] || ! command -v tc >/dev/null; then
  echo "   SKIPPED: virtual nodes need root and iproute2 (scripts/deps.sh --network)"
  exit 0
fi
for rate in $rates; do [ -f "$results/steps-${rate}mbit.jsonl" ] || at_rate "$rate"; done

step "report"
figures=experiments/communication
[ "$scale" != ci ] || figures=$out/yardstick
.venv/bin/yardstick communication "$results" --out "$figures"
