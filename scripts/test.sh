#!/usr/bin/env bash
# Builds and passes all tests: scripts/test.sh [openmp|serial|sanitize|cuda]   (default openmp)
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
preset=${1:-openmp}
backend=$preset
[ "$preset" = sanitize ] && backend=serial

scripts/deps.sh "$backend" --python
step "configure ($preset)"
quiet "build/log/$preset-configure.log" cmake --preset "$preset"
step "build ($preset)"
quiet "build/log/$preset-build.log" cmake --build --preset "$preset" -j "$jobs"
if [ "$preset" = openmp ]; then
  step "documents printed by the program"
  "build/$preset/switchyard" schema | diff docs/record-schema.md - || fail "docs/record-schema.md differs" "switchyard schema > docs/record-schema.md"
  "build/$preset/switchyard" show --reference | diff docs/configuration.md - ||
    fail "docs/configuration.md differs" "switchyard show --reference > docs/configuration.md"
fi
step "tests ($preset)"
ctest --preset "$preset" -j "$jobs"
echo "all tests of '$preset' passed in $((SECONDS))s"
