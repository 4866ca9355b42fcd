// ranks: 1 2
// What a run says about itself: complete, the same on every rank, and JSON.
#include "record/provenance.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "comm/collectives.hpp"

namespace {

using namespace switchyard;

TEST(Provenance, IsCompleteAndTheSameOnEveryRank) {
  const comm::Communicator world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  setenv("SLURM_JOB_ID", "4711", 1);
  const std::string text = record::provenance_json(world, {"switchyard", "train", "a b.yaml"}, 2);
  for (const auto& other : comm::all_gather(world, text)) EXPECT_EQ(other, text);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json.at("ranks"), world.size());
  EXPECT_EQ(json.at("threads"), 2);
  EXPECT_EQ(json.at("command")[2], "a b.yaml");
  EXPECT_EQ(json.at("batch_system").at("SLURM_JOB_ID"), "4711");
  EXPECT_EQ(json.at("hosts")[0][1], world.size());
  for (const char* library : {"mpi", "hdf5", "kokkos", "yaml-cpp", "openssl", "blas"})
    EXPECT_NE(json.at("libraries").at(library), "") << library;
  EXPECT_EQ(json.at("start_time").get<std::string>().size(), 20u);
  EXPECT_EQ(json.at("program").at("commit"), record::program_commit());
}

TEST(Provenance, VersionTextNamesEveryLibrary) {
  const std::string text = record::version_text();
  const std::string commit = record::program_commit();
  for (const char* word :
       {"switchyard ", commit.c_str(), "backend", "compiler", "mpi", "hdf5", "kokkos", "yaml-cpp", "openssl", "blas"})
    EXPECT_NE(text.find(word), std::string::npos) << word;
}

}  // namespace
