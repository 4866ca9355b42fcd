# What a machine needs, read by the templates. Copy it to slurm/machines/NAME.sh, change it, and submit with
# SWITCHYARD_MACHINE=NAME. slurm/preflight.sh, run inside a job of two nodes, says which launcher and mpi to write here.

# The program, and what it was built with.
# module load gcc openmpi hdf5
# SWITCHYARD=${SWITCHYARD:-/path/to/switchyard}

launcher=srun  # srun, mpirun, or none for jobs of one rank
mpi=pmix       # --mpi of srun; empty for what the site has set
# mpirun_options=(--map-by "slot:PE=${SLURM_CPUS_PER_TASK:-1}")

# The container of slurm/switchyard.def in place of a built program:
# SWITCHYARD=$templates/container.sh
# export SWITCHYARD_IMAGE=/path/to/switchyard.sif

# export OMPI_MCA_mpi_yield_when_idle=1   # where a node has more ranks than cores
# export OMP_PROC_BIND=spread OMP_PLACES=cores
