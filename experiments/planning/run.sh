#!/usr/bin/env bash
# Predicted and measured steps on two virtual nodes: run.sh [--scale ci|laptop|full] [--out FOLDER]; see ../lib.sh
#   ci: one rate and two steps, only whether it all runs; laptop (default) and full: half an hour of two cores, as root, on a quiet machine.
#   The machine is measured at each rate before its steps. Results that FOLDER/SCALE/results has already are kept.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
options "$@"
export OMP_NUM_THREADS=1
steps=(--warmup 2 --repetitions 9) repetitions=9 rates="3000 1500 900 600 400 200"
layouts=("serial 1" "interleaved 2" "interleaved 4" "pipelined 2" "pipelined 4")
[ "$scale" != ci ] || { steps=(--warmup 1 --repetitions 1) repetitions=1 rates=600 layouts=("serial 1" "interleaved 4"); }
results=$out/$scale/results model=$root/experiments/communication/overlap.yaml
mkdir -p "$results"
if [ "$(id -u)" -ne 0 ] || ! command -v tc >/dev/null; then
  echo "   SKIPPED: virtual nodes need root and iproute2 (scripts/deps.sh --network)"
  exit 0
fi
settings=(--mca btl_tcp_flags 9 --mca btl_tcp_sndbuf 262144) # as in ../communication

# on_nodes ARGUMENT...: the program, on the nodes that are up
on_nodes() {
  scripts/virtual-nodes.sh mpirun "$network" -- "${settings[@]}" "$(realpath "$program")" "$@" >"$out/step.log" 2>&1 ||
    fail "a measurement failed: $(tail -n 3 "$out/step.log")" "the whole output is in $out/step.log"
}

# at_rate MEGABITS
at_rate() {
  local name=$1mbit folder layout exchange
  folder=$(realpath "$out")/measured
  rm -rf "$folder"
  mkdir "$folder"
  network=$(scripts/virtual-nodes.sh up --nodes 2 --rate "$name" 2>"$out/network.log")
  trap 'scripts/virtual-nodes.sh down "$network"' EXIT
  on_nodes bench machine "$model" --repetitions "$repetitions" --out "$folder/machine-$name.yaml"
  for layout in "${layouts[@]}"; do
    for exchange in pairwise node; do
      on_nodes bench step "$model" layout.schedule="${layout% *}" layout.lanes="${layout#* }" layout.exchange="$exchange" "${steps[@]}" \
        --json "$folder/steps-$name.jsonl"
    done
  done
  scripts/virtual-nodes.sh down "$network"
  trap - EXIT
  "$program" plan "$model" --ranks 2 --nodes 2 --machine "$folder/machine-$name.yaml" --show 1000 --json "$folder/plan-$name.jsonl" \
    >"$folder/plan-$name.txt"
  mv "$folder"/*"-$name."* "$results"
}

step "machines and steps on two virtual nodes"
for rate in $rates; do [ -f "$results/plan-${rate}mbit.jsonl" ] || at_rate "$rate"; done

step "report"
.venv/bin/yardstick planning "$results" --out "$out/$scale/planning.txt"
