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
ctest --preset "$preset" -j "$jobs" ${label:+-L "$label"}
if [ "$preset" = openmp ] && [ -z "$label" ]; then
  step "yardstick tests"
  if [ -x .venv/bin/python ]; then
    .venv/bin/python -m pytest -q -n "$jobs" --dist worksteal analysis/tests
  else
    echo "SKIPPED: no Python environment"
  fi
fi
echo "all tests of '$preset' passed in $((SECONDS))s"
