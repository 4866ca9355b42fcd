# The Slurm of tests/slurm: several nodes that are one host, with more ranks than cores.
launcher=srun
mpi=pmix
# Open MPI as root, over the loopback device (or that of virtual nodes, docs/virtual-nodes.md), with ranks that share cores: srun does not make them yield as mpirun does.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_btl_tcp_if_include=${SWITCHYARD_DEVICE:-lo} OMPI_MCA_oob_tcp_if_include=${SWITCHYARD_DEVICE:-lo}
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_rmaps_base_oversubscribe=1
export OMP_PROC_BIND=false
export TMPDIR=${SLURM_CONF%/etc/slurm.conf}/tmp  # Open MPI names its folders after host and process, which two clusters share
