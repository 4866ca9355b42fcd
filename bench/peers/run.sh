#!/usr/bin/env bash
# Whole training steps, ours beside a tuned PyTorch, in one run: tokens per second and their ratio.
#   PYTHON=/path/to/python-with-torch bench/peers/run.sh [OUT.jsonl] ["XS:1 XS:8 XS:64 XS:256 S:8 S:64"]
# Tuned: MKL told that the CPU is Intel (it takes a slow path on others), tcmalloc preloaded where libtcmalloc_minimal.so.4 is
# installed, OPENBLAS_* unset, both cores. Each of eager and compiled, loop and grouped, is run; the best counts.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh
out=${1:-bench/results/step.jsonl}
cases=${2:-"XS:1 XS:8 XS:64 XS:256 S:8 S:64"}
python=${PYTHON:-python3}
program=build/openmp/switchyard
work=$(mktemp -d)
mkdir -p "$(dirname "$out")" build/log
"$python" -c 'import torch' 2>/dev/null || fail "no PyTorch in $python" "set PYTHON to an interpreter that has it"
echo 'int mkl_serv_intel_cpu_true(void) { return 1; }' | gcc -shared -fPIC -x c - -o "$work/mkl.so"
preload=$work/mkl.so
tcmalloc=$(ldconfig -p | awk '/libtcmalloc_minimal.so.4/ && !found {print $NF; found = 1}')
[ -n "$tcmalloc" ] && preload=$tcmalloc:$preload

ours() {  # SIZE E RANKS THREADS
  local config=bench/$(echo "$1" | tr A-Z a-z).yaml
  mpirun --oversubscribe -n "$3" env OMP_NUM_THREADS="$4" "$program" bench step "$config" "moe.experts=$2" "layout.threads=$4" --json "$out"
}
peer() {  # SIZE E FORM
  local log=build/log/torch-$1-$2-$3.log
  LD_PRELOAD=$preload "$python" bench/peers/torch_step.py "$1" "$2" "$3" 2>"$log" | tee -a "$out" && return
  echo "form $3 of $1 E=$2 failed, log $log"
  failed+=("$1:$2")
}
failed=()

for case in $cases; do
  size=${case%:*} experts=${case#*:}
  ours "$size" "$experts" 1 2
  forms="loop grouped loop+c grouped+c"
  [ "$experts" = 1 ] && forms="loop loop+c"
  for form in $forms; do peer "$size" "$experts" "$form"; done
  ours "$size" "$experts" 2 1
  ours "$size" "$experts" 1 2
done
python3 - "$out" "${failed[@]}" <<'PY'
import collections, json, sys
best = collections.defaultdict(lambda: collections.defaultdict(lambda: (0, 0, None)))  # median, fastest step, row of the median
width = {128: "XS", 512: "S"}
for row in map(json.loads, open(sys.argv[1])):
    key = (row.get("size") or width[row["width"]], row["experts"])
    who = "torch" if "peer" in row else "ours"
    median, fastest, of = best[key][who]
    of = row if row["tokens_per_s"] > median else of
    best[key][who] = (max(median, row["tokens_per_s"]), max(fastest, row["tokens_per_s_most"]), of)
for (size, experts), v in sorted(best.items(), key=lambda kv: (kv[0][0] == "S", kv[0][1])):
    if f"{size}:{experts}" in sys.argv[2:]:
        print(f"{size:2} E={experts:<4} no ratio: a form of PyTorch failed")
    elif len(v) == 2:
        (ours, ours_fastest, row), (torch, torch_fastest, peer) = v["ours"], v["torch"]
        print(f"{size:2} E={experts:<4} medians: ours {ours:6.0f} ({row['ranks']} ranks), torch {torch:6.0f} ({peer['form']}), "
              f"ratio {ours / torch:.2f}; fastest steps: {ours_fastest:6.0f}, {torch_fastest:6.0f}, ratio "
              f"{ours_fastest / torch_fastest:.2f}; share {row['share_of_product_rate']:.2f}")
for size in ("XS", "S"):
    if all("ours" in best[size, experts] for experts in (1, 64)):
        print(f"{size:2} ours at E=64 by ours at E=1: {best[size, 64]['ours'][0] / best[size, 1]['ours'][0]:.2f}")
PY
