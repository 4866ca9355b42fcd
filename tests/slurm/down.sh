#!/usr/bin/env bash
# Ends the cluster of up.sh with everything that runs on it: down.sh FOLDER. The process that it ends is the one that
# up.sh started; the kernel ends the rest with it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
folder=$(realpath -m "${1:?usage: down.sh FOLDER}")
pid=$(process_of "$folder/run/cluster.pid" "cluster.sh $folder") || exit 0
kill -TERM "$pid"
for _ in $(seq 100); do
  is_up "$folder" || exit 0
  sleep 0.1
done
kill -KILL "$pid"
