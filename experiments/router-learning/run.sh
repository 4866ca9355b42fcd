#!/usr/bin/env bash
# This experiment, from the corpus to the figures: run.sh [--scale laptop|full|ci] [--out FOLDER]; see ../lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
experiment router-learning "$@"
