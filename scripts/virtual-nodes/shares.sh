# Shared by virtual-nodes.sh: which cores and how much time each node has, so that all have equally much. Sourced.
#
# Where there are cores enough every node has cores of its own; else, and for parts of a core, a quota of a control group. A
# period of 5 ms: at the default of 100 ms a node would sit still for longer than most exchanges take.
period=5000 # us

# plan_shares CPUS: sets `cores`, `each` (cores a node is held to; 0: all), `quota` (us a period, empty: none), `shares`, the words
# for it, and `adapter`, words for what takes the packets where a node has two cores of its own or more. CPUS: what the caller asked a node to have, or empty.
plan_shares() {
  local thousandths all
  mapfile -t cores < <(taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' |
    awk -F- '{ for (i = $1; i <= (NF > 1 ? $2 : $1); ++i) print i }')
  all=$((1000 * ${#cores[@]}))
  thousandths=$((all / nodes))
  [ "$thousandths" -lt 1000 ] || thousandths=$((thousandths / 1000 * 1000))
  if [ -n "$1" ]; then
    [[ $1 =~ ^[0-9]+(\.[0-9]+)?$ ]] || fail "--cpus takes a number, not '$1'" "e.g. --cpus 0.5"
    thousandths=$(awk -v x="$1" 'BEGIN { printf "%d", 1000 * x + 0.5 }')
  fi
  [ $((thousandths * nodes)) -le "$all" ] && [ "$thousandths" -ge 200 ] ||
    fail "$nodes nodes of $(words "$thousandths") cores are too many, or too small, for the ${#cores[@]} cores of this machine" \
      "ask for less nodes or another --cpus, of at least 0.2"
  each=$(((thousandths + 999) / 1000)) quota=
  if [ $((each * 1000)) -ne "$thousandths" ]; then
    quota=$((thousandths * period / 1000))
    find_groups || quota=
    [ -n "$quota" ] || [ -z "$1" ] || fail "no control group can be written here, which parts of a core need" "leave out --cpus"
  fi
  # Nodes that share a core sit on it in equal numbers, or on no core in particular.
  [ $((each * nodes)) -le "${#cores[@]}" ] || [ $((nodes % ${#cores[@]})) -eq 0 ] || each=0
  if [ -n "$quota" ]; then
    shares="a quota of $(words "$thousandths") cores a node"
  elif [ $((each * 1000)) -eq "$thousandths" ]; then
    shares="$each of the ${#cores[@]} cores a node"
  else
    shares="${#cores[@]} cores shared as the scheduler pleases: no control group can be written here"
  fi
  adapter=
  [ "$each" -lt 2 ] || [ $((each * nodes)) -gt "${#cores[@]}" ] || adapter=", the last one takes packets"
}

# mask_of CORE: as the kernel reads a set of cores, 32 of them a word.
mask_of() {
  local i mask
  mask=$(printf '%x' $((1 << ($1 % 32))))
  for ((i = $1 / 32; i > 0; --i)); do mask+=,00000000; done
  echo "$mask"
}

words() { awk -v x="$1" 'BEGIN { printf "%g", x / 1000 }'; }

# cores_of INDEX: as taskset reads them.
cores_of() {
  local i list=()
  for i in $(seq 0 $((each - 1))); do list+=("${cores[$((($1 * each + i) % ${#cores[@]}))]}"); done
  [ "$each" -ne 0 ] || list=("${cores[@]}")
  (IFS=, && echo "${list[*]}")
}

# find_groups: sets `groups`, the control group that new ones may be made in, and `version`; fails where there is none.
find_groups() {
  local mount
  version=1
  mount=$(awk '$3 == "cgroup" && "," $4 "," ~ /,cpu,/ { print $2; exit }' /proc/mounts)
  if [ -n "$mount" ]; then
    groups=$mount$(awk -F: '"," $2 "," ~ /,cpu,/ { print $3; exit }' /proc/self/cgroup)
  else
    version=2
    groups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)$(sed -n 's/^0:://p' /proc/self/cgroup)
    # A group that has processes of its own cannot hand out time, but for the root.
    grep -qw cpu "$groups/cgroup.subtree_control" 2>/dev/null || echo +cpu 2>/dev/null >"$groups/cgroup.subtree_control" || return 1
  fi
  groups=${groups%/}
  mkdir "$groups/${prefix}probe-$$" 2>/dev/null && rmdir "$groups/${prefix}probe-$$"
}

# make_group NODE: sets `group`.
make_group() {
  group=$groups/$name-$1
  echo "group $group" >>"$folder/made"
  mkdir "$group"
  if [ "$version" = 1 ]; then
    echo "$period" >"$group/cpu.cfs_period_us"
    echo "$quota" >"$group/cpu.cfs_quota_us"
  else
    echo "$quota $period" >"$group/cpu.max"
  fi
}

# remove_group PATH: the kernel takes a moment to see that its processes have ended.
remove_group() {
  local tries
  [[ $1 == */"$prefix"* ]] || return 0
  for tries in $(seq 100); do
    [ -d "$1" ] || return 0
    rmdir "$1" 2>/dev/null && return
    sleep 0.05
  done
  fail "the control group $1 cannot be removed ($tries tries)" "call scripts/virtual-nodes.sh down again"
}
