// ranks: 2 3
// How many collectives a training step makes: every one of them is counted on its way into MPI.
#include <gtest/gtest.h>
#include <mpi.h>

#include <map>
#include <string>

#include "train/step.hpp"
#include "train/synthetic.hpp"

namespace {

std::map<std::string, int> calls;

}  // namespace

extern "C" {
int MPI_Allreduce(const void* from, void* to, int n, MPI_Datatype type, MPI_Op op, MPI_Comm comm) {
  ++calls["allreduce"];
  return PMPI_Allreduce(from, to, n, type, op, comm);
}
int MPI_Allgather(const void* from, int n, MPI_Datatype type, void* to, int m, MPI_Datatype other, MPI_Comm comm) {
  ++calls["allgather"];
  return PMPI_Allgather(from, n, type, to, m, other, comm);
}
int MPI_Allgatherv(const void* from, int n, MPI_Datatype type, void* to, const int* counts, const int* at,
                   MPI_Datatype other, MPI_Comm comm) {
  ++calls["allgather"];
  return PMPI_Allgatherv(from, n, type, to, counts, at, other, comm);
}
int MPI_Alltoall(const void* from, int n, MPI_Datatype type, void* to, int m, MPI_Datatype other, MPI_Comm comm) {
  ++calls["alltoall"];
  return PMPI_Alltoall(from, n, type, to, m, other, comm);
}
int MPI_Alltoallv(const void* from, const int* n, const int* at, MPI_Datatype type, void* to, const int* m,
                  const int* other_at, MPI_Datatype other, MPI_Comm comm) {
  ++calls["alltoall"];
  return PMPI_Alltoallv(from, n, at, type, to, m, other_at, other, comm);
}
int MPI_Gather(const void* from, int n, MPI_Datatype type, void* to, int m, MPI_Datatype other, int root,
               MPI_Comm comm) {
  ++calls["gather"];
  return PMPI_Gather(from, n, type, to, m, other, root, comm);
}
int MPI_Gatherv(const void* from, int n, MPI_Datatype type, void* to, const int* counts, const int* at,
                MPI_Datatype other, int root, MPI_Comm comm) {
  ++calls["gather"];
  return PMPI_Gatherv(from, n, type, to, counts, at, other, root, comm);
}
int MPI_Reduce(const void* from, void* to, int n, MPI_Datatype type, MPI_Op op, int root, MPI_Comm comm) {
  ++calls["reduce"];
  return PMPI_Reduce(from, to, n, type, op, root, comm);
}
int MPI_Barrier(MPI_Comm comm) {
  ++calls["barrier"];
  return PMPI_Barrier(comm);
}
int MPI_Bcast(void* data, int n, MPI_Datatype type, int root, MPI_Comm comm) {
  ++calls["broadcast"];
  return PMPI_Bcast(data, n, type, root, comm);
}
}

namespace switchyard::train {
namespace {

Config config_of(int layers) {
  Config c;
  c.model = {.vocabulary = 40, .width = 12, .blocks = layers, .heads = 3, .context = 6, .hidden = 16};
  c.moe.experts = 5, c.moe.hidden = 8, c.moe.top_k = 2;
  c.moe.aux_loss = 0.01, c.moe.z_loss = 1e-3, c.moe.router = RouterKind::sigmoid, c.moe.bias_rule = BiasRule::sign;
  c.train.batch = 8, c.train.grains = 4;
  return c;
}

std::map<std::string, int> calls_of_a_step(int layers) {
  const Config config = config_of(layers);
  Machine machine(config, comm::Communicator::duplicate(MPI_COMM_WORLD));
  const data::Batch batch = synthetic_batch(config, machine.groups.layout, 1);
  calls.clear();
  train_step(machine, batch, 1);
  return calls;
}

/// One of counts and one of masses and losses before backward, and one of the experts' norms, whatever the layers.
TEST(Collectives, AreThoseOfAStepAndNotOfALayer) {
  const std::map<std::string, int> expected{{"allgather", 2}, {"allreduce", 1}};
  EXPECT_EQ(calls_of_a_step(1), expected);
  EXPECT_EQ(calls_of_a_step(5), expected);
}

}  // namespace
}  // namespace switchyard::train
