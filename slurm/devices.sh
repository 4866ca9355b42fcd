#!/usr/bin/env bash
# Run once by every rank before the training: does its node have a device for it? The program takes the device whose
# number is the rank's place on its node, so a rank beyond the devices would share one, silently where the launcher hides
# the others (--gpus-per-task under mpirun). SWITCHYARD_SHARE_DEVICES=1 allows it.
set -eu
place=${OMPI_COMM_WORLD_LOCAL_RANK:-${MPI_LOCALRANKID:-${SLURM_LOCALID:-0}}}  # under mpirun SLURM_LOCALID is 0 everywhere
if [ -n "${CUDA_VISIBLE_DEVICES:-}" ]; then
  visible=$CUDA_VISIBLE_DEVICES
elif command -v nvidia-smi >/dev/null; then
  visible=$(nvidia-smi --query-gpu=index --format=csv,noheader | paste -sd,)
else
  visible=$(seq -s, 0 $((${SLURM_GPUS_ON_NODE:-0} - 1)))
fi
count=$(tr ',' '\n' <<<"$visible" | grep -c . || true)
[ "$place" -ne 0 ] || echo "$(hostname): devices $visible, one for each rank by its place on the node"
if [ "$place" -ge "$count" ] && [ -z "${SWITCHYARD_SHARE_DEVICES:-}" ]; then
  echo "$(hostname): the rank in place $place (from 0) sees $count device(s) ($visible), so ranks would share one;" \
    "ask for --gpus-per-node=<ranks on a node> without --gpus-per-task, or set SWITCHYARD_SHARE_DEVICES=1" >&2
  exit 2
fi
