#!/usr/bin/env bash
# The fits of this experiment: run.sh [--scale laptop|full|ci] [--out FOLDER]; see ../lib.sh. All scales do the same half minute of work;
# ci writes into FOLDER, the others beside this file. SWITCHYARD_CURVES is the file of curves (default: corpus/curves.csv.gz).
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
SWITCHYARD=$BASH options "$@" # no program of ours is needed
curves=${SWITCHYARD_CURVES:-corpus/curves.csv.gz}
if [ ! -f "$curves" ]; then
  echo "$name SKIPPED: $curves is not there; the README says where the curves are published"
  exit 0
fi
results=experiments/$name
[ "$scale" != ci ] || results=$out
step "yardstick law"
.venv/bin/yardstick law "$curves" --out "$results"
