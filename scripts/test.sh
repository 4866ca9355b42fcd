#!/usr/bin/env bash
# Builds and passes all tests: scripts/test.sh [openmp|serial|sanitize|cuda] [memory]   (default openmp, with yardstick's tests)
# SWITCHYARD_CMAKE: options for CMake, e.g. -DSWITCHYARD_WERROR=ON.
# With `memory` only the tests of that label, and no more targets than they need: the share of the sanitizers in CI.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
preset=${1:-openmp}
backend=$preset
[ "$preset" = sanitize ] && backend=serial

step "dependencies ($preset)"
scripts/deps.sh "$backend" --python
step "configure ($preset)"
quiet "build/log/$preset-configure.log" cmake --preset "$preset" ${SWITCHYARD_CMAKE:-}
step "build ($preset)"
label=${2:-}
quiet "build/log/$preset-build.log" cmake --build --preset "$preset" -j "$jobs" ${label:+--target "$label"}
if [ "$preset" = openmp ] && [ -z "$label" ]; then
  step "documents printed by the program"
  "build/$preset/switchyard" schema | diff docs/record-schema.md - || fail "docs/record-schema.md differs" "switchyard schema > docs/record-schema.md"
  "build/$preset/switchyard" show --reference | diff docs/configuration.md - ||
    fail "docs/configuration.md differs" "switchyard show --reference > docs/configuration.md"
fi
step "tests ($preset)"
in_memory
of_slurm=$([ -n "$label" ] || ctest --preset "$preset" -N -L slurm 2>/dev/null | grep 'Test *#' || true)
if [ -n "$of_slurm" ]; then
  # They mostly wait, so they run beside the others; their cluster is theirs to end, so they are waited for in any case.
  ctest --preset "$preset" -L slurm -j "$jobs" -O build/log/slurm-tests.log >/dev/null 2>&1 &
  slurm=$!
fi
others=0
# One more than cores: many wait for ranks to start and end, or for a watchdog. More ranks than that stay alone.
ctest --preset "$preset" -j "$((jobs + 1))" -LE slurm ${label:+-L "$label"} || others=$?
if [ -n "${slurm:-}" ]; then
  # What pytest says of a failure at the end, since of a long output CI keeps that.
  wait "$slurm" || fail "tests of a real Slurm failed; build/log/slurm-tests.log" "$(
    grep -E '\*\*\*|\((Failed|Timeout)\)' build/log/slurm-tests.log || tail -n 20 build/log/slurm-tests.log
    grep -E '^(E  |FAILED|ERROR)' build/log/slurm-tests.log | cut -c1-300 | tail -n 30 || true)"
  grep -E 'tests passed|Skipped' build/log/slurm-tests.log
fi
[ "$others" -eq 0 ] || fail "tests failed" "they are named above"
if [ "$preset" = openmp ] && [ -z "$label" ]; then
  step "yardstick tests"
  if [ -x .venv/bin/python ]; then
    .venv/bin/python -m pytest -q -n "$jobs" --dist worksteal analysis/tests
  else
    echo "SKIPPED: no Python environment"
  fi
fi
echo "all tests of '$preset' passed in $((SECONDS))s"
