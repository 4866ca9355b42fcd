#!/usr/bin/env bash
# Formatting, the layer order of the folders, and the size budget of files.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
mapfile -t sources < <(git ls-files --cached --others --exclude-standard 'src/*.[ch]pp' 'tests/*.[ch]pp')

step "formatting"
if ! command -v clang-format >/dev/null; then
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    quiet build/log/apt-update.log apt-get update
    quiet build/log/clang-format.log env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends clang-format-14
  else
    fail "clang-format is missing" "install clang-format 14"
  fi
fi
formatter=$(command -v clang-format-14 || command -v clang-format)
"$formatter" --dry-run --Werror "${sources[@]}"

step "layer order"
cmake -DROOT="$root" -P tests/support/layers.cmake

step "size of files"
long=$(wc -l "${sources[@]}" | awk '$2 != "total" && $1 > 300 {print "  " $2 ": " $1 " lines"}')
[ -z "$long" ] || fail "these files have more than 300 lines:
$long" "cut them along their subject"
