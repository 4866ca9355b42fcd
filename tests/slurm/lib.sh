# Shared by up.sh, down.sh and cluster.sh: what lies in the folder of a cluster. Sourced.

# process_of FILE NAME: the living process whose id FILE holds, if NAME is in its command line: an id that has gone to
# another process since is not taken for ours.
process_of() {
  local pid
  pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] || return 1
  [ -e "/proc/$pid" ] && { tr '\0' ' ' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -qF -- "$2" || return 1
  echo "$pid"
}

is_up() { process_of "$1/run/cluster.pid" "cluster.sh $1" >/dev/null; }

# free_ports N: the first of N ports in a row on which nobody listens, below the range of outgoing connections.
free_ports() {
  python3 - "$1" <<'PY'
import random, socket, sys

def free(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("", port))
        except OSError:
            return False
    return True

n = int(sys.argv[1])
print(next(p for p in iter(lambda: random.randrange(12000, 32000), None) if all(free(p + i) for i in range(n))))
PY
}

# write_folder FOLDER NODES CPUS GPUS: keys, devices and configuration. The nodes claim more CPUs than there are and have
# copies of the null device for GPUs. On virtual nodes (SWITCHYARD_NODES) each has an address of its own, and etc/network says which
# of them it is.
write_folder() {
  local folder=$1 nodes=$2 cpus=$3 gpus=$4 port i
  mkdir -p "$folder"/{etc,log,run,state,dev}
  chmod 755 "$folder" "$folder/run"  # munge's socket must be reachable
  rm -f "$folder/etc/munge.key"
  head -c 1024 /dev/urandom >"$folder/etc/munge.key"
  chmod 400 "$folder/etc/munge.key"
  for i in $(seq 0 $((gpus - 1))); do
    [ -e "$folder/dev/nvidia$i" ] || mknod "$folder/dev/nvidia$i" c 1 3
  done
  port=$(free_ports $((nodes + 1)))
  local host addresses=() names=()
  host=$(hostname -s)
  for i in $(seq "$nodes"); do addresses[i]=127.0.0.1; done
  if [ -n "${SWITCHYARD_NODES:-}" ]; then
    mapfile -t -O 1 addresses < <(awk '{ print $3 }' "$SWITCHYARD_NODES/nodes")
    mapfile -t -O 1 names < <(awk '{ print $1 }' "$SWITCHYARD_NODES/nodes")
    for i in $(seq "$nodes"); do echo "n$i $SWITCHYARD_NODES ${names[i]}"; done >"$folder/etc/network"
  fi
  {
    slurm_settings "$folder" "$host(${addresses[1]})" "$port"
    for i in $(seq "$nodes"); do
      mkdir -p "$folder/spool/n$i" "$folder/tmp/n$i"
      echo "NodeName=n$i NodeHostname=$host NodeAddr=${addresses[i]} Port=$((port + i)) CPUs=$cpus Boards=1" \
        "SocketsPerBoard=1 CoresPerSocket=$cpus ThreadsPerCore=1 RealMemory=1000 Gres=gpu:$gpus State=UNKNOWN"
    done
    echo "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP"
  } >"$folder/etc/slurm.conf"
  echo "Name=gpu File=$folder/dev/nvidia[0-$((gpus - 1))]" >"$folder/etc/gres.conf"
}

# slurm_settings FOLDER HOST(ADDRESS) PORT. TmpFS is a folder for each node since PMIx makes one of a fixed name in it; no cgroups
# and no accounting, so that it runs in any container. MpiDefault stays `none`, as where nobody has set it.
slurm_settings() {
  cat <<EOF
ClusterName=switchyard-test
SlurmctldHost=$2
SlurmctldPort=$3
SlurmUser=root
SlurmdUser=root
AuthInfo=socket=$1/run/munge.sock
StateSaveLocation=$1/state
SlurmdSpoolDir=$1/spool/%n
TmpFS=$1/tmp/%n
SlurmctldPidFile=$1/run/slurmctld.daemon
SlurmdPidFile=$1/run/slurmd-%n.daemon
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
GresTypes=gpu
MpiDefault=none
ReturnToService=2
SlurmdTimeout=${SLURMD_TIMEOUT:-60}
KillWait=10
JobRequeue=1
MinJobAge=3600
EOF
}
