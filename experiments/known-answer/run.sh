#!/usr/bin/env bash
# All measurements of this experiment: run.sh [--scale ci|laptop|full] [--out FOLDER]; see ../lib.sh
#   ci: ten seconds, a small share; laptop (default): two minutes of two cores; full: what the README's tables hold, into results
#   beside this file, the others into FOLDER/results. No scale needs a GPU.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
options "$@"
export OMP_NUM_THREADS=1
step "laboratory"
case $scale in
  ci) trees=16 main=16 samples=100000 fewer=30000 network_samples=30000 facts=992 exposures=100 ;;
  laptop) trees="16 64" main=64 samples=1000000 fewer="30000 100000 300000" network_samples=300000 facts=1984 exposures=1000 ;;
  full) trees="16 64 256" main=64 samples=3000000 fewer="30000 100000 300000 3000000" network_samples=3000000 facts=3968 exposures="1000 100" ;;
esac
results=$out/results
[ "$scale" = full ] && results=experiments/known-answer/results
results=${RESULTS:-$results}
mkdir -p "$out" "$results"

# generate NAME OPTIONS...: once
generate() { [ -d "$out/$1" ] || "$program" data generate "${@:2}" --out "$out/$1"; }
# generate_tree TASKS: bend; 256 tasks hold four times the facts of 64 and have twice the samples
generate_tree() { generate "bend-$1" --shape bend --tasks "$1" --samples $(($1 < 256 ? samples : 2 * samples)); }
# measure RESULT FOLDER OPTIONS...
measure() {
  "$program" data laboratory "$out/$2" "${@:3}" > "$out/$1.csv.tmp"
  mv "$out/$1.csv.tmp" "$results/$1.csv"
}
# doublings FROM TO: 2,4,8
doublings() { local list=$1 e=$1; while ((e < $2)); do e=$((2 * e)); list=$list,$e; done; echo "$list"; }

# Oracle and hash for every L, with fewer samples (T1-D), and the tax of balance (T1-Z).
trees() {
  local tasks router few
  for tasks in $trees; do
    generate_tree "$tasks"
    cp "$out/bend-$tasks/ideal.csv" "$results/bend-$tasks-ideal.csv"
    for router in oracle hash; do
      measure "bend-$tasks-$router" "bend-$tasks" --router "$router" --experts "$(doublings 1 $((2 * tasks)))"
    done
  done
  for few in $fewer; do
    measure "fewer-tokens-$few" "bend-$main" --experts "$(doublings $((main / 8)) $((2 * main)))" --samples "$few"
  done
  generate zipf-64 --shape zipf --tasks 64 --values 6000 --samples 1000
  cp "$out/zipf-64/ideal.csv" "$results/zipf-64-ideal.csv"
}

networks() {
  measure "bend-$main-mlp" "bend-$main" --model mlp --samples "$network_samples" --experts "$(doublings 1 $((2 * main)))"
}

learned() {
  local experts
  experts=$(doublings 1 $((2 * main)))
  measure "bend-$main-learned-aux" "bend-$main" --router learned --balance aux --experts "$experts"
  measure "bend-$main-learned-free" "bend-$main" --router learned --balance free --experts "$experts"
  measure "bend-$main-learned-free-fast" "bend-$main" --router learned --balance free --bias-rate 0.01 --experts "$experts"
  measure "bend-$main-learned-none" "bend-$main" --router learned --balance none --experts "$experts"
}

# T2: three sizes of facts and networks, numbers of experts such that rho goes from 1.28 (where E allows) down to 0.08.
capacity() {
  local each most=$((facts / 124)) lines=$results/facts.csv.lines
  generate "facts-$facts" --shape facts --facts "$facts"
  generate "facts-$((2 * facts))" --shape facts --facts $((2 * facts))
  : > "$lines"
  for each in $exposures; do
    facts_of "$facts" 16 "$each" "$most"
    facts_of "$facts" 32 "$each" $((most / 2))
    facts_of $((2 * facts)) 16 "$each" $((2 * most))
  done >> "$lines"
  { head -n 1 "$lines"; grep -v ^facts "$lines"; } > "$results/facts.csv"
  rm "$lines"
}

# facts_of FACTS HIDDEN EXPOSURES MOST-EXPERTS
facts_of() {
  local first=$(($4 > 16 ? $4 / 16 : 1))
  "$program" data laboratory "$out/facts-$1" --hidden "$2" --exposures "$3" --experts "$(doublings "$first" "$4")"
}

generate_tree "$main"
(trees; networks) & # the other core; with && a failure inside would be lost
other=$!
trap 'kill "$other" 2>/dev/null || true' EXIT
capacity
learned
wait "$other"
