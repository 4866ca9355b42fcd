#!/usr/bin/env bash
# Formatting, the layer order of the folders, and the size budget of files.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
mapfile -t sources < <(git ls-files --cached --others --exclude-standard 'src/*.[ch]pp' 'tests/*.[ch]pp')

step "what a merge leaves"
marked=$(git grep -nIE '^(<<<<<<<|>>>>>>>|[|]{7})( |$)' | cut -d: -f1,2 || true)
[ -z "$marked" ] || fail "these lines are of a merge that was not finished:
$marked" "choose one of the two texts"

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

# scripts/corpus.py is part of what a corpus was asked for (corpus.sh): touching it would make every corpus anew.
mapfile -t python < <(git ls-files --cached --others --exclude-standard '*.py')

step "syntax of Python"
python3 -c 'import ast, sys; [ast.parse(open(name, encoding="utf-8").read(), name) for name in sys.argv[1:]]' "${python[@]}"

step "width of Python lines"
wide=$(printf '%s\n' "${python[@]}" | grep -v '^scripts/corpus.py$' | LC_ALL=C.UTF-8 xargs grep -nE '^.{141}' | cut -d: -f1,2 || true)
[ -z "$wide" ] || fail "these lines have more than 140 characters:
$wide" "wrap them"

# Tables, pictures and what programs print stay on their line.
mapfile -t texts < <(git ls-files --cached --others --exclude-standard '*.md' ':!docs/configuration.md' ':!docs/record-schema.md' ':!docs/acceptance.md' ':!docs/gallery.md')
step "width of documents"
wide=$(LC_ALL=C.UTF-8 grep -nE '^.{141}' "${texts[@]}" | grep -vE '^[^:]*:[0-9]*:([|!]|    )' | cut -d: -f1,2 || true)
[ -z "$wide" ] || fail "these lines have more than 140 characters:
$wide" "wrap them"

step "size of files"
long=$(wc -l "${sources[@]}" "${python[@]}" | awk '$2 != "total" && $1 > 300 {print "  " $2 ": " $1 " lines"}')
[ -z "$long" ] || fail "these files have more than 300 lines:
$long" "cut them along their subject"
