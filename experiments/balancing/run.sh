#!/usr/bin/env bash
# This experiment, from the corpus to the figures: run.sh [--scale laptop|full|ci] [--out FOLDER]; see ../lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
beside=(sizes) beside_jobs=$jobs
experiment balancing "$@"
.venv/bin/yardstick load "$out"/tasks/*-seed1-free-low --out "$results" # the loads of one run, step by step
