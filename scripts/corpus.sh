#!/usr/bin/env bash
# The standard corpus: English documentation, C and C++ headers, Python source and manual pages of Debian packages.
#   scripts/corpus.sh OUT [MEGABYTES [PROGRAM]]
# OUT becomes a corpus folder with at most MEGABYTES (default 80) of text, shared evenly among the domains; OUT.lock.json
# says what it was made of. PROGRAM (or $SWITCHYARD) is the built `switchyard`. TOKENIZER (default bpe) and VOCABULARY
# (default 4096) are taken from the environment. Nothing is installed: packages are unpacked in corpus/.cache.
start=$PWD
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

step "arguments"
usage="scripts/corpus.sh OUT [MEGABYTES [PROGRAM]]"
[ $# -ge 1 ] && [ $# -le 3 ] && [[ $1 != -* ]] || fail "wrong arguments" "$usage"
[[ ${2:-80} =~ ^[1-9][0-9]*$ ]] || fail "MEGABYTES is '$2', not a whole number from 1" "$usage"
absolute() { case $1 in /*) echo "$1" ;; *) echo "$2/$1" ;; esac; }
out=$(absolute "${1%/}" "$root")
megabytes=${2:-80}
program=${3:+$(absolute "$3" "$start")}
program=${program:-$(absolute "${SWITCHYARD:-build/openmp/switchyard}" "$root")}
[ -x "$program" ] || fail "$program is not a program" "build it first (scripts/test.sh or scripts/quickstart.sh), or set SWITCHYARD"
tokenizer=${TOKENIZER:-bpe} vocabulary=${VOCABULARY:-4096}
trained=() # options of a tokenizer that is trained
[ "$tokenizer" != bpe ] || trained=(--vocabulary "$vocabulary")
part=full
[ "$megabytes" -gt 12 ] || part=quick # few packages are enough for little text
list=scripts/corpus.lock
cache=$root/corpus/.cache
lock=$out.lock.json
[ ! -e "$out" ] || [ -f "$out/manifest.json" ] || [ -z "$(ls -A "$out")" ] ||
  fail "$out is there and is no corpus" "choose another folder; a corpus that stands there would be replaced"
for tool in apt-get apt-cache dpkg-deb python3 sha256sum; do
  command -v $tool >/dev/null || fail "'$tool' is missing" "the corpus comes from Debian packages: run this on Debian or Ubuntu, with python3"
done

request=$(printf '%s\n' "$megabytes" "$tokenizer" "$vocabulary" | cat - "$list" scripts/corpus.sh scripts/corpus.py | sha256sum | cut -d' ' -f1)
if [ -f "$out/manifest.json" ] && grep -qs "\"request\": \"$request\"" "$lock"; then
  echo "$out is up to date"
  exit 0
fi
mkdir -p "$cache/debs" "$cache/unpacked" "$(dirname "$out")"

apt_options=(-o APT::Sandbox::User=root)
# candidates NAME...: lines of package and the version that apt would take.
candidates() {
  apt-cache "${apt_options[@]}" policy "$@" 2>/dev/null |
    awk '/^[^ ]/ {name = substr($1, 1, length($1) - 1)} $1 == "Candidate:" && $2 != "(none)" {print name, $2}'
}

# Package lists of our own, where the system's are empty: needs no rights.
ensure_lists() {
  step "package lists"
  [ -z "$(candidates manpages)" ] || return 0
  mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial"
  apt_options+=(-o "Dir::State::Lists=$cache/apt/lists" -o "Dir::Cache=$cache/apt")
  quiet build/log/corpus-lists.log apt-get "${apt_options[@]}" update
  [ -n "$(candidates manpages)" ] || fail "the package 'manpages' is in no package list" "check the sources of apt"
}

# fetch DOMAIN NAMES VERSION SHA256: the first of the alternative NAMES that there is, in the expected version if it can be had.
fetch() {
  local name version deb sum
  for name in ${2//|/ }; do
    version=$(awk -v name="$name" '$1 == name {print $2}' "$work/candidates")
    [ -z "$version" ] || break
  done
  if [ -z "$version" ]; then
    echo "note: no package ${2//|/ or } here; left out"
    return 0
  fi
  deb=$(find "$cache/debs" -name "${name}_${3//:/%3a}_*.deb" | head -n 1)
  if [ -z "$deb" ] && [ "$3" != - ] && (cd "$cache/debs" && apt-get "${apt_options[@]}" download "$name=$3") >/dev/null 2>&1; then
    deb=$(find "$cache/debs" -name "${name}_${3//:/%3a}_*.deb" | head -n 1)
  fi
  if [ -z "$deb" ]; then
    (cd "$cache/debs" && quiet "$root/build/log/corpus-download.log" apt-get "${apt_options[@]}" download "$name=$version")
    deb=$(find "$cache/debs" -name "${name}_${version//:/%3a}_*.deb" | head -n 1)
    [ -n "$deb" ] || fail "apt-get download $name=$version brought no file" "look at build/log/corpus-download.log"
  fi
  sum=$(sha256sum "$deb" | cut -d' ' -f1)
  version=$(dpkg-deb -f "$deb" Version)
  [ "$version" = "$3" ] || [ "$3" = - ] || echo "note: $name $version in place of the expected $3: the text will differ"
  [ "$version" != "$3" ] || [ "$sum" = "$4" ] || echo "note: $name $version has another sha256 than expected"
  if [ ! -f "$cache/unpacked/$sum/.complete" ]; then
    rm -rf "${cache:?}/unpacked/$sum"
    mkdir -p "$cache/unpacked/$sum"
    dpkg-deb -x "$deb" "$cache/unpacked/$sum" || fail "$deb cannot be unpacked" "remove it and run this again"
    touch "$cache/unpacked/$sum/.complete"
  fi
  printf '%s\t%s\t%s\t%s\n' "$1" "$name" "$version" "$sum" >>"$found"
}

ensure_lists
work=$(mktemp -d "$cache/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
found=$work/packages.tsv
touch "$found"
step "packages"
mapfile -t names < <(awk '!/^#/ {gsub(/[|]/, "\n", $3); print $3}' "$list" | sort -u)
candidates "${names[@]}" >"$work/candidates"
while read -r domain packages_part names version sum; do
  case $domain in "" | \#*) continue ;; esac
  [ "$packages_part" = quick ] || [ "$part" = full ] || continue
  fetch "$domain" "$names" "$version" "$sum"
done <"$list"
echo "$(wc -l <"$found") packages"

step "text"
python3 scripts/corpus.py "$found" "$cache/unpacked" "$work/text" "$megabytes" "$work/lock.json" "$request" ||
  fail "corpus.py ended with $?" "its messages stand above"

step "tokens"
rm -rf "$out"
"$program" data build --out "$out" "$work/text/corpus.jsonl" --tokenizer "$tokenizer" "${trained[@]}" --validation-share 0.06
mv "$work/lock.json" "$lock"
echo "$out: made of what $lock lists"
