#!/usr/bin/env bash
# All measurements of this experiment: run.sh [--scale ci|laptop|full] [--out FOLDER]; see ../lib.sh
#   ci: ten seconds, a small share; laptop (default): two minutes of two cores; full: what the README's tables hold, copied beside this
#   file at the end. No scale needs a GPU. Results that FOLDER/results has already are kept.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
options "$@"
export OMP_NUM_THREADS=1
step "laboratory"
case $scale in
  ci) trees=16 main=16 samples=100000 zipf=20000 fewer=30000 network_samples=30000 facts=992 exposures=100 ;;
  laptop) trees="16 64" main=64 samples=1000000 zipf=300000 fewer="30000 100000 300000" network_samples=300000 facts=1984 exposures=1000 ;;
  full) trees="16 64 256" main=64 samples=3000000 zipf=1000000 fewer="30000 100000 300000 3000000" network_samples=3000000
    facts=3968 exposures="1000 100" ;;
esac
results=$out/results
mkdir -p "$results"

# generate NAME OPTIONS...: once
generate() { [ -d "$out/$1" ] || "$program" data generate "${@:2}" --out "$out/$1"; }
# generate_tree SHAPE TASKS [OPTIONS...]; 256 tasks hold four times the facts of 64 and have twice the samples
generate_tree() { generate "$1-$2" --shape "$1" --tasks "$2" "${@:3}" --samples $(($2 < 256 ? samples : 2 * samples)); }
# measure RESULT FOLDER OPTIONS...: once
measure() {
  [ -f "$results/$1.csv" ] && return
  "$program" data laboratory "$out/$2" "${@:3}" > "$out/$1.csv.tmp"
  mv "$out/$1.csv.tmp" "$results/$1.csv"
}
# doublings FROM TO: 2,4,8
doublings() { local list=$1 e=$1; while ((e < $2)); do e=$((2 * e)); list=$list,$e; done; echo "$list"; }

# curves SHAPE TASKS [OPTIONS...]: the exact ones, and what tables learn with oracle and hash
curves() {
  local router
  generate_tree "$@"
  cp "$out/$1-$2/ideal.csv" "$results/$1-$2-ideal.csv"
  for router in oracle hash; do
    measure "$1-$2-$router" "$1-$2" --router "$router" --experts "$(doublings 1 $((2 * $2)))"
  done
}

# The bend (B) for every L, the knee (K) for the main one, Clark's curve (C) for the largest, and fewer samples (T1-D).
trees() {
  local tasks few
  for tasks in $trees; do curves bend "$tasks"; done
  curves knee "$main" --values 1000 # with fewer values the answers of tasks coincide, and the gain is less than ln 2
  curves clark "${trees##* }"
  for few in $fewer; do
    measure "fewer-tokens-$few" "bend-$main" --experts "$(doublings $((main / 8)) $((2 * main)))" --samples "$few"
  done
}

networks() {
  measure "bend-$main-mlp" "bend-$main" --model mlp --samples "$network_samples" --experts "$(doublings 1 $((2 * main)))"
}

# learned FOLDER: routers that learn, with three ways to balance
learned() {
  local balance experts
  experts=$(doublings 1 $((2 * main)))
  for balance in aux free none; do
    measure "$1-learned-$balance" "$1" --router learned --balance "$balance" --experts "$experts"
  done
  measure "$1-learned-free-fast" "$1" --router learned --balance free --bias-rate 0.01 --experts "$experts"
}

# The tax of balance (T1-Z): tasks of share 1/r.
zipf() {
  generate "zipf-$main" --shape zipf --tasks "$main" --values 1000 --samples "$zipf"
  cp "$out/zipf-$main/ideal.csv" "$results/zipf-$main-ideal.csv"
  measure "zipf-$main-oracle" "zipf-$main" --experts "$(doublings 1 $((2 * main)))"
  learned "zipf-$main"
}

# T2: three sizes of facts and networks, numbers of experts such that rho goes from 1.28 (where E allows) down to 0.08.
capacity() {
  local each most=$((facts / 124))
  generate "facts-$facts" --shape facts --facts "$facts"
  generate "facts-$((2 * facts))" --shape facts --facts $((2 * facts))
  for each in $exposures; do
    facts_of "$facts" 16 "$each" "$most"
    facts_of "$facts" 32 "$each" $((most / 2))
    facts_of $((2 * facts)) 16 "$each" $((2 * most))
  done
}

# facts_of FACTS HIDDEN EXPOSURES MOST-EXPERTS
facts_of() {
  local first=$(($4 > 16 ? $4 / 16 : 1))
  measure "facts-$1-h$2-$3" "facts-$1" --hidden "$2" --exposures "$3" --experts "$(doublings "$first" "$4")"
}

generate_tree bend "$main"
(trees; networks) & # the other core; with && a failure inside would be lost
other=$!
trap 'kill "$other" 2>/dev/null || true' EXIT
capacity
learned "bend-$main"
zipf
wait "$other"
[ "$scale" != full ] || cp "$results"/*.csv "experiments/$name/results/"
