#!/usr/bin/env bash
# What plan predicts for the steps that ../communication has measured: run.sh [--scale ci|laptop|full] [--out FOLDER]; see ../lib.sh
#   Seconds; nothing is measured here. laptop (default): its two nodes, full: its four, ci: those that it has just measured.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
options "$@"
nodes=2 measured=experiments/communication/results written=experiments/planning
case $scale in
  full) nodes=4 measured=experiments/communication/four-nodes/results ;;
  ci) measured=$(dirname "$out")/communication/ci/results written=$out ;;
esac
results=$out/$scale/results model=experiments/communication/overlap.yaml
if [ "$scale" = ci ] && ! compgen -G "$measured/steps-*.jsonl" >/dev/null; then
  echo "   SKIPPED: experiments/communication has measured no steps (virtual nodes need root and iproute2)"
  exit 0
fi
rm -rf "$results"
mkdir -p "$results"

step "plans for $measured"
for file in "$measured"/steps-*mbit.jsonl; do
  rate=$(basename "$file" .jsonl) rate=${rate#steps-}
  machine=$measured/machine-$rate.yaml
  [ -f "$machine" ] || fail "$machine is not there" "measure it with experiments/communication/run.sh"
  cp "$file" "$results"
  "$program" plan "$model" train.grains=$((4 * nodes)) --ranks "$nodes" --nodes "$nodes" --machine "$machine" --show 1000 \
    --json "$results/plan-$rate.jsonl" >"$results/plan-$rate.txt"
done

step "report"
.venv/bin/yardstick planning "$results" --out "$written/steps-on-$nodes-nodes.txt"
