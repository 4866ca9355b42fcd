#!/usr/bin/env bash
# Submits a job several times, each to start when the one before it has ended in whatever way: for machines that do not
# let jobs requeue themselves.   slurm/chain.sh LINKS [sbatch options] slurm/job.sbatch CONFIG RUN [...]
# Prints the ids. A link whose run is finished ends at once. --dependency=singleton and a --job-name of the run's own does
# the same without this script, also for links that are added later.
set -euo pipefail
[ $# -ge 2 ] && [ "$1" -gt 0 ] || { echo "usage: slurm/chain.sh LINKS [sbatch options] slurm/job.sbatch CONFIG RUN" >&2; exit 2; }
links=$1
shift
before=
for _ in $(seq "$links"); do
  before=$(sbatch --parsable --no-requeue ${before:+--dependency=afterany:$before} "$@")
  before=${before%%;*}  # JOB;CLUSTER where there are several clusters
  echo "$before"
done
