#!/usr/bin/env bash
# The tests of kernels under compute-sanitizer, on a machine with a GPU: memcheck, racecheck and initcheck, one line a tool and test.
#   scripts/sanitize_gpu.sh [--tools memcheck,racecheck,initcheck] [--seconds N] [--dry-run] BUILD [TEST...]
# BUILD is a folder of the preset cuda, whose tests are built; TEST is one of the names below (default: all), such as tensor.products_test.
# Each has N seconds (default 120) and one rank. Kernels of CUTLASS, and of cuBLAS, are left to memcheck: races that the others report
# there are of barriers that these tools do not follow. What a kernel that is left out has written counts as written only if it was
# before, so what initcheck says of rows read after one is to be read with that in mind: a finding names its kernel.
# Ends with 1 where anything was found, failed, or took too long. Whole outputs are in build/log/sanitize-TOOL-TEST.log.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

step "arguments"
usage="scripts/sanitize_gpu.sh [--tools memcheck,racecheck,initcheck] [--seconds N] [--dry-run] BUILD [TEST...]"
tools=memcheck,racecheck,initcheck seconds=120 dry=""
while [[ ${1:-} == --* ]]; do
  case $1 in
    --tools | --seconds) [ $# -gt 1 ] || fail "$1 needs a value" "$usage" ;;&
    --tools) tools=$2 && shift ;;
    --seconds) seconds=$2 && shift ;;
    --dry-run) dry=yes ;;
    *) fail "unknown option '$1'" "$usage" ;;
  esac
  shift
done
[ $# -ge 1 ] || fail "no build folder" "$usage"
[[ $seconds =~ ^[1-9][0-9]*$ ]] || fail "--seconds is '$seconds', not a whole number from 1" "$usage"
build=$1
shift
sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
[ -n "$dry" ] || [ -x "$sanitizer" ] || fail "compute-sanitizer is not there" "it comes with the CUDA toolkit"
[ -d "$build/tests" ] || fail "$build has no tests" "scripts/test.sh cuda builds them in build/cuda"

# Tests and what of them is left out (a filter of GoogleTest): what takes long, or has no kernel of ours.
tests=(
  "tensor.products_test -*ManyRows*:*ManyLargeExperts*"
  "tensor.product_operands_test *"
  "tensor.row_invariance_test -*OfSegmentsAndTheirSizes*"
  "tensor.activation_test -*IsExactToSinglePrecision*"
  "model.attention_test *"
  "model.embedding_test *"
  "model.head_test *"
  "model.golden_test *"
  "nn.norm_test *"
  "nn.feed_forward_test *"
  "moe.router_test -*EveryLossAtEveryScope*:*NumbersOfExperts*"
  "moe.rows_test *"
  "moe.tally_test *"
  "moe.choice_order_test *"
  "moe.capacity_test *"
  "moe.plan_test *"
  "moe.dispatch_test *"
  "moe.layer_reference_test -*GradientIsTheSlope*"
  "train.norm_test *"
  "train.optimizer_test *"
)
found=86 # exit code of compute-sanitizer where it found something

# check TOOL TEST FILTER: prints the line; 1 where it is not clean
check() {
  local tool=$1 test=$2 filter=$3 log=build/log/sanitize-$1-$2.log code=0 start=$SECONDS verdict
  local options=(--tool "$tool" --error-exitcode "$found" --target-processes application-only --print-limit 20)
  [ "$tool" = memcheck ] || options+=(--kernel-name-exclude "${SWITCHYARD_SANITIZER_EXCLUDE:-regex=cutlass|cublas|gemm}")
  local command=(timeout --kill-after=10 "$seconds" "$sanitizer" "${options[@]}" "$build/tests/$test" --gtest_filter="$filter")
  if [ -n "$dry" ]; then
    printf '%s\n' "${command[*]}"
    return
  fi
  OMP_NUM_THREADS=1 "${command[@]}" >"$log" 2>&1 || code=$?
  case $code in
    0) verdict=clean ;;
    77) verdict="SKIPPED by the test" ;;
    124 | 137) verdict="TOOK TOO LONG" ;;
    "$found") verdict="FOUND: $(grep -E 'SUMMARY' "$log" | tail -n 1 | sed 's/=* *//')" ;;
    *) verdict="FAILED with $code: $(grep -E 'FAILED|[Ee]rror' "$log" | tail -n 1 | cut -c1-120)" ;;
  esac
  # A hazard that is a warning alone ends well.
  if [ "$code" -eq 0 ] && grep -qE 'SUMMARY: [1-9]|, [1-9][0-9]* warning' "$log"; then
    verdict="FOUND: $(grep -E 'SUMMARY' "$log" | tail -n 1 | sed 's/=* *//')" code=$found
  fi
  # Nothing of a test that ran no kernel, or that did not run, is clean.
  [ "$code" -ne 0 ] || grep -qE '\[  PASSED  \] [1-9]' "$log" || { verdict="RAN NOTHING" code=1; }
  printf '%-10s %-30s %4d s  %s\n' "$tool" "$test" "$((SECONDS - start))" "$verdict"
  [ "$code" -eq 0 ]
}

step "tests"
mkdir -p build/log
[ $# -gt 0 ] || set -- "${tests[@]%% *}"
bad=0
for tool in ${tools//,/ }; do
  case $tool in memcheck | racecheck | initcheck | synccheck) ;; *) fail "unknown tool '$tool'" "$usage" ;; esac
  for name in "$@"; do
    entry=""
    for each in "${tests[@]}"; do [ "${each%% *}" != "$name" ] || entry=$each; done
    [ -n "$entry" ] || fail "unknown test '$name'" "one of: ${tests[*]%% *}"
    [ -x "$build/tests/$name" ] || [ -n "$dry" ] || fail "$build/tests/$name is not there" "cmake --build $build --target $name"
    check "$tool" "$name" "${entry#* }" || bad=$((bad + 1))
  done
done
[ "$bad" -eq 0 ] || fail "$bad checks are not clean" "their whole outputs are in build/log/sanitize-*.log"
