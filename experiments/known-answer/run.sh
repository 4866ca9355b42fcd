#!/usr/bin/env bash
# All measurements of this experiment: run.sh [FOLDER]   (default runs/known-answer; about six minutes of one core)
set -euo pipefail
cd "$(dirname "$0")/../.."
switchyard=${SWITCHYARD:-build/openmp/switchyard}
out=${1:-runs/known-answer}
results=${RESULTS:-experiments/known-answer/results}
mkdir -p "$out" "$results"
for tasks in 16 64 256; do
  samples=3000000
  [ "$tasks" -eq 256 ] && samples=6000000 # four times the facts
  [ -d "$out/bend-$tasks" ] || "$switchyard" data generate --shape bend --tasks "$tasks" --samples "$samples" --out "$out/bend-$tasks"
  experts=1,2,4,8,16,32
  [ "$tasks" -ge 64 ] && experts=$experts,64,128
  [ "$tasks" -ge 256 ] && experts=$experts,256,512
  cp "$out/bend-$tasks/ideal.csv" "$results/bend-$tasks-ideal.csv"
  for router in oracle hash; do
    "$switchyard" data laboratory "$out/bend-$tasks" --router "$router" --experts "$experts" > "$results/bend-$tasks-$router.csv"
  done
done
for samples in 30000 100000 300000 3000000; do # T1-D: the same tokens, fewer of them
  "$switchyard" data laboratory "$out/bend-64" --experts 8,16,32,64,128 --samples "$samples" > "$results/fewer-tokens-$samples.csv"
done
[ -d "$out/zipf-64" ] || "$switchyard" data generate --shape zipf --tasks 64 --values 6000 --samples 1000 --out "$out/zipf-64"
cp "$out/zipf-64/ideal.csv" "$results/zipf-64-ideal.csv"
