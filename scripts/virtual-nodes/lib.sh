# Shared by virtual-nodes.sh: making and removing a network of virtual nodes, and the folder that says what was made. Sourced.
#
# /run/switchyard-nodes/HH (HH: two hexadecimal digits, which no other network has; its name is switchyard-HH) holds
#   owner   process id and start time of the script that made it, and `run` or `up`
#   made    a line for each thing that is to be removed: `namespace NAME [INODE]`, `group PATH`. Written before the thing is
#           made, and again with its inode after, so that nothing is forgotten, whenever the script is killed
#   nodes   a line for each node: host name, namespace, address, cores, control group or -
#   hosts   /etc/hosts of the nodes;   tmp/NODE, for the files of Open MPI
nodes_root=/run/switchyard-nodes
prefix=switchyard-

say() { printf '%s\n' "$*" >&2; }

# folder_of NAME: fails unless this script made a network of that name.
folder_of() {
  [[ $1 =~ ^$prefix([0-9a-f]{2})$ ]] || fail "'$1' is no network of this script" "scripts/virtual-nodes.sh status lists them"
  [ -d "$nodes_root/${BASH_REMATCH[1]}" ] || fail "there is no network '$1'" "scripts/virtual-nodes.sh status lists them"
  echo "$nodes_root/${BASH_REMATCH[1]}"
}

start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# is_alive FOLDER: whether the script that made it still runs; an id that went to another process is not taken for it.
is_alive() {
  local pid start
  read -r pid start _ <"$1/owner" 2>/dev/null && [ -n "$start" ] && [ "$(start_time "$pid")" = "$start" ]
}

# claim KIND: sets `folder` and `name`. The folder comes into being whole, by a rename that fails where another network has it, so a
# script that is ended at any moment finds what is its own (abandon).
claim() {
  local id mine=$nodes_root/.$$ other
  mkdir -p "$nodes_root"
  [ -O "$nodes_root" ] && [ ! -L "$nodes_root" ] || fail "$nodes_root is another user's" "remove it"
  for other in "$nodes_root"/.[0-9]*; do [ -e "/proc/${other##*/.}" ] || rm -rf "$other"; done
  mkdir "$mine"
  echo "$$ $(start_time $$) $1" >"$mine/owner"
  : >"$mine/made"
  for _ in $(seq 500); do
    id=$(printf '%02x' $((RANDOM % 256)))
    ! compgen -G "/var/run/netns/$prefix$id-*" >/dev/null && mv -T "$mine" "$nodes_root/$id" 2>/dev/null || continue
    folder=$nodes_root/$id
    name=$prefix$id
    return
  done
  fail "no name is free of the 256 that networks can have" "scripts/virtual-nodes.sh down NAME removes one"
}

# abandon: removes whatever this script has made.
abandon() {
  local owner pid
  rm -rf "$nodes_root/.$$"
  for owner in "$nodes_root"/*/owner; do
    read -r pid _ <"$owner" 2>/dev/null || continue
    [ "$pid" != $$ ] || ! is_alive "${owner%/owner}" || remove_network "${owner%/owner}"
  done
}

inode_of() { stat -Lc %i "/var/run/netns/$1"; }

make_namespace() {
  echo "namespace $1" >>"$folder/made"
  ip netns add "$1"
  echo "namespace $1 $(inode_of "$1")" >>"$folder/made"
  ip -n "$1" link set lo up
}

# in_network NAMESPACE COMMAND...
in_network() {
  local namespace=$1
  shift
  nsenter --net="/var/run/netns/$namespace" "$@"
}

# limit_rate NAMESPACE DEVICE: the token bucket. It holds what the link carries in 0.57 ms, and at least a packet as TCP hands
# them on, of 64 KiB: a smaller bucket makes the kernel cut them, on the cores that compute, which a network adapter does itself. So
# only that much passes at more than the rate after a pause. The queue takes what all nodes can have under way: as on the links of a
# cluster, nothing is lost.
limit_rate() {
  local parent=root
  if [ -n "$delay" ] && [ "$2" = eth0 ]; then
    in_network "$1" tc qdisc add dev "$2" root handle 1: netem delay "$delay" limit 1000000 2>/dev/null ||
      fail "this kernel cannot delay packets: it has no netem" "leave out --delay"
    parent="parent 1:"
  fi
  local burst=$((bits_per_second / 14000))
  [ "$burst" -ge 69632 ] || burst=69632
  in_network "$1" tc qdisc add dev "$2" $parent handle 2: tbf rate "$rate" burst "$burst" limit $((nodes * 8 * 1024 * 1024))
}

# make_node INDEX LETTER: a namespace with one device, whose other end is a port of the switch. There is no other route: what is
# not for a node has nowhere to go. The congestion control is the one every kernel has; rows must not wait for a slow start.
make_node() {
  local node=node$2 namespace=$name-node$2 address=10.77.$((16#${name#"$prefix"})).$(($1 + 1)) group=-
  make_namespace "$namespace"
  in_network "$namespace" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 2>/dev/null || true # a kernel without it has none to disable
  in_network "$namespace" sysctl -qw net.ipv4.tcp_slow_start_after_idle=0 net.ipv4.tcp_congestion_control=reno
  ip -n "$namespace" link add eth0 mtu 9000 type veth peer name "$node" mtu 9000 netns "$name-switch"
  limit_rate "$namespace" eth0
  limit_rate "$name-switch" "$node"
  ip -n "$namespace" addr add "$address/24" dev eth0
  ip -n "$namespace" link set eth0 up
  ip -n "$name-switch" link set "$node" master switch up
  mkdir -p "$folder/tmp/$node"
  [ -z "$quota" ] || make_group "$node"
  [ -z "$adapter" ] || take_packets "$1" "$namespace" "$node"
  echo "$address $node" >>"$folder/hosts"
  echo "$node $namespace $address $(cores_of "$1") $group" >>"$folder/nodes"
}

# take_packets INDEX NAMESPACE PORT: both ends of a node's link hand packets to its last core, as a network adapter takes them from
# the core that computes; without that the sender's core does all work of both ends. A kernel that cannot leaves it at that.
take_packets() {
  local mask
  mask=$(mask_of "$(cores_of "$1" | sed 's/.*,//')")
  ip netns exec "$2" sh -c "echo $mask >/sys/class/net/eth0/queues/rx-0/rps_cpus" 2>/dev/null &&
    ip netns exec "$name-switch" sh -c "echo $mask >/sys/class/net/$3/queues/rx-0/rps_cpus" 2>/dev/null ||
    adapter=", but this kernel cannot hand packets to another core"
}

# make_network: `nodes` of them at `rate` in the claimed folder.
make_network() {
  local i letters=ABCDEFGHIJKLMNOPQRSTUVWXYZ
  echo "127.0.0.1 localhost" >"$folder/hosts"
  make_namespace "$name-switch"
  in_network "$name-switch" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 2>/dev/null || true
  ip -n "$name-switch" link add switch mtu 9000 type bridge
  ip -n "$name-switch" link set switch up
  for i in $(seq 0 $((nodes - 1))); do make_node "$i" "${letters:$i:1}"; done
  echo "$rate${delay:+ delayed by $delay}, $shares$adapter" >"$folder/about"
}

# remove_network FOLDER: what `made` lists, but no namespace that another has made under the same name since.
remove_network() {
  local folder=$1 what inode left=0 lock
  { exec {lock}<"$folder"; } 2>/dev/null && flock "$lock" && [ -d "$folder" ] || return 0 # another has removed it meanwhile
  while read -r what inode; do
    [ -e "/var/run/netns/$what" ] || continue
    # Without an inode the script was killed while it made this one.
    if [[ $what != "$prefix${folder##*/}-"* ]] || { [ -n "$inode" ] && [ "$(inode_of "$what")" != "$inode" ]; }; then
      say "left alone: the namespace $what is not the one that was made here"
      left=1
      continue
    fi
    end_processes "$what"
    ip netns del "$what"
  done < <(awk '$1 == "namespace" { inode[$2] = $3 } END { for (n in inode) print n, inode[n] }' "$folder/made")
  while read -r what; do remove_group "$what"; done < <(sed -n 's/^group //p' "$folder/made")
  rm -rf "$folder"
  exec {lock}<&-
  return $left
}

# end_processes NAMESPACE: whatever runs in it.
end_processes() {
  local pids
  for _ in $(seq 100); do
    pids=$(ip netns pids "$1")
    [ -n "$pids" ] || return 0
    kill -KILL $pids 2>/dev/null || true
    sleep 0.05
  done
  fail "processes in $1 do not end: $pids" "call scripts/virtual-nodes.sh down again"
}
