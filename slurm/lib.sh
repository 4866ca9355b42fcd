# Shared by the job templates: the machine's file, the launch, signals, going on after an early stop. Sourced; the
# folder of this file is found through $BASH_SOURCE.
templates=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf '%s slurm: %s\n' "$(date +%FT%T)" "$*"; }

# The id by which Slurm knows this job alone: the plain id of one task of an array may stand for the whole array.
job_id() {
  if [ -n "${SLURM_ARRAY_JOB_ID:-}" ]; then
    echo "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
  else
    echo "$SLURM_JOB_ID"
  fi
}

# Reads the file of the machine, which SWITCHYARD_MACHINE names (slurm/machines/NAME.sh, or a path), and makes of it
# `program` and the words `launch` that start it.
load_machine() {
  local file=${SWITCHYARD_MACHINE:-example}
  [[ $file == */* ]] || file=$templates/machines/$file.sh
  [ -r "$file" ] || { say "no machine file $file; SWITCHYARD_MACHINE names one of slurm/machines"; exit 2; }
  launcher=srun mpi=pmix mpirun_options=() began=$(date +%s)
  # shellcheck source=machines/example.sh
  . "$file"
  launcher=${SWITCHYARD_LAUNCHER:-$launcher}
  program=${SWITCHYARD:-switchyard}
  command -v "$program" >/dev/null || { say "$program cannot be run; set SWITCHYARD to the program, here or in $file"; exit 2; }
  # srun does not inherit --cpus-per-task from sbatch in Slurm 22.05 to 23.02. Whether one failed rank ends the others is
  # left to MPI: srun's own way (--kill-on-bad-exit) would kill slower ranks of a job that stops with 75 in good order.
  case $launcher in
    srun) launch=(srun --kill-on-bad-exit=0 ${mpi:+--mpi="$mpi"} --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}") ;;
    mpirun) launch=(mpirun -n "${SLURM_NTASKS:-1}" "${mpirun_options[@]}") ;;
    none) launch=() ;;
    *) say "launcher=$launcher in $file is none of srun, mpirun, none"; exit 2 ;;
  esac
  : "${OMP_NUM_THREADS:=${SLURM_CPUS_PER_TASK:-1}}"
  export OMP_NUM_THREADS
}

# Refuses a job whose nodes have fewer devices than ranks, before any rank waits for another in MPI.
check_devices() {
  [ -n "${SLURM_JOB_GPUS:-}${SLURM_GPUS_ON_NODE:-}${CUDA_VISIBLE_DEVICES:-}" ] || return 0
  "${launch[@]}" bash "$templates/devices.sh" || { say "not started: see the lines above"; exit 2; }
}

# run WORDS...: the program under the launcher; its exit code is left in `code`. The signal before the time limit reaches
# this shell (--signal=B:USR1) and goes on as USR2, which srun and every mpirun give to all ranks; USR1 is lost in Ubuntu
# 24.04's (Open MPI 4.1.6). At TERM, which Slurm gives to the steps itself, somebody wants the job to end.
run() {
  warned='' ending='' code=0
  local got=1 child
  say "job $(job_id) start ${SLURM_RESTART_COUNT:-0} on ${SLURM_JOB_NODELIST:-this host}: ${launch[*]} $program $*"
  "${launch[@]}" "$program" "$@" &
  child=$!
  trap 'got=1 warned=1; say "USR1: handing it on"; kill -USR2 $child 2>/dev/null' USR1
  trap 'got=1 ending=1; say "TERM: the job ends"; [ "$launcher" = srun ] || kill -USR2 $child 2>/dev/null' TERM
  while [ -n "$got" ]; do  # a signal ends `wait`, not the child; bash keeps the code of a child that has ended
    got=''
    wait "$child" && code=0 || code=$?
  done
  # USR2 before the program listens to it ends it like any program; the last checkpoint is as it was.
  if [ -n "$warned" ] && [ "$code" -eq $((128 + $(kill -l USR2))) ]; then code=75; fi
}

# Another start may hold the run folder for a while: after a node failure its processes may still be ending.
run_when_free() {
  local last=$((SECONDS + ${SWITCHYARD_WAIT_BUSY:-300}))
  run "$@"
  while [ "$code" -eq 6 ] && [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ] && [ -z "$ending$warned" ] && [ $SECONDS -lt $last ]; do
    say "the folder is in use; trying again in 10 s"
    sleep 10
    run "$@"
  done
}

# came_further: whether this start has written a checkpoint in the folder $made.
came_further() {
  [ -n "$(find "${made:-/nowhere}" -path '*/checkpoints/step-*/manifest.json' -newermt "@$began" -print -quit 2>/dev/null)" ]
}

# Ends the job with the program's code. It is put back into the queue after 75, and after 9 if it came further: a rank that
# stood still is mostly the machine's doing, and another time or node does without; a start that came nowhere would only
# stand still again. Not where somebody wants it to end, it was submitted with --no-requeue, or it comes back for the
# SWITCHYARD_RESTARTS'th time.
finish() {
  local again=${SWITCHYARD_RESTARTS:-1000} back=''
  say "exit code $code"
  trap '' USR1 TERM  # of its own requeue
  if [ "$code" -eq 75 ]; then back=1; fi
  if [ "$code" -eq 9 ]; then
    if came_further; then back=1; else say "not put back: a rank stood still before this start wrote a checkpoint"; fi
  fi
  if [ -n "$back" ] && [ -z "$ending" ]; then
    if [ "${SLURM_RESTART_COUNT:-0}" -ge "$again" ]; then
      say "not put back: this was start $again (SWITCHYARD_RESTARTS)"
    elif scontrol requeue "$(job_id)"; then
      say "put back into the queue"
    else
      say "submit the same command again to continue"
    fi
  fi
  exit "$code"
}
