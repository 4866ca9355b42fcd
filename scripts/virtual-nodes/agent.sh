#!/usr/bin/env bash
# What mpirun starts its daemons on virtual nodes with, in place of ssh (plm_rsh_agent): agent.sh [OPTIONS] HOST COMMAND...
# The network is the one that mpirun itself runs in (SWITCHYARD_NODES, enter.sh). The kernel ends the daemon with mpirun.
set -euo pipefail
while [[ $1 == -* ]]; do shift; done
host=$1
shift
exec setpriv --pdeathsig KILL "$(dirname "$0")/enter.sh" "${SWITCHYARD_NODES:?mpirun does not run on a virtual node}" "$host" bash -c "$*"
