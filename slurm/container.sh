#!/usr/bin/env bash
# The program of the container of slurm/switchyard.def, in place of a built one: SWITCHYARD=slurm/container.sh and
# SWITCHYARD_IMAGE=switchyard.sif in the file of the machine.
exec apptainer exec ${SWITCHYARD_BIND:+--bind "$SWITCHYARD_BIND"} "${SWITCHYARD_IMAGE:?set it to switchyard.sif}" switchyard "$@"
