#!/usr/bin/env bash
# What plan predicts for the steps that ../communication has measured: run.sh [--scale ci|laptop|full] [--out FOLDER]; see ../lib.sh
#   Seconds; nothing is measured here. laptop (default) and full: those of that scale, ci: those that it has just measured.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
options "$@"
measured=experiments/communication/results written=experiments/planning/laptop.txt
case $scale in
  full) measured=experiments/communication/sixteen-cores/results written=experiments/planning/sixteen-cores.txt ;;
  ci) measured=$(dirname "$out")/communication/ci/results written=$out/planning.txt ;;
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
  machines=() # as it was between the turns of the steps; older results have one of before
  for machine in "$measured/machine-$rate.yaml" "$measured/machine-$rate"-*.yaml; do
    [ ! -f "$machine" ] || machines+=(--machine "$machine")
  done
  [ ${#machines[@]} -gt 0 ] || fail "$measured has no machine-$rate-1.yaml" "measure it with experiments/communication/run.sh"
  cp "$file" "$results"
  grains=$(grep -om1 '"grains":[0-9]*' "$file" | head -n 1) || fail "$file says no grains" "measure it with experiments/communication/run.sh"
  "$program" plan "$model" "train.grains=${grains#*:}" --ranks 2 --nodes 2 "${machines[@]}" --show 1000 \
    --json "$results/plan-$rate.jsonl" >"$results/plan-$rate.txt"
done

step "report"
.venv/bin/yardstick planning "$results" --out "$written"
