#!/usr/bin/env bash
# What plan predicts for the steps that experiments/communication has measured, without measuring: offline.sh [FOLDER]
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
program=${SWITCHYARD:-build/openmp/switchyard} out=${1:-runs/planning-offline} measured=experiments/communication/results
[ -x "$program" ] || fail "$program is not there" "build it (scripts/test.sh), or set SWITCHYARD"
mkdir -p "$out"
python3 experiments/planning/calibrate.py "$measured" >"$out/machine.yaml"
for file in "$measured"/steps-*mbit.jsonl; do
  rate=$(basename "$file" .jsonl) rate=${rate#steps-} rate=${rate%mbit}
  cp "$file" "$out"
  rm -f "$out/plan-${rate}mbit.jsonl"
  "$program" plan experiments/communication/overlap.yaml --ranks 2 --nodes 2 --machine "$out/machine.yaml" \
    --network "$(awk "BEGIN {print $rate / 1000}")" --show 1000 --json "$out/plan-${rate}mbit.jsonl" >"$out/plan-${rate}mbit.txt"
done
.venv/bin/yardstick planning "$out" --out "$out/planning.txt"
