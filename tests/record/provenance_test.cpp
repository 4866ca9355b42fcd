// ranks: 1 2
// What a run says about itself: complete, the same on every rank, and JSON.
#include "record/provenance.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/check.hpp"
#include "comm/collectives.hpp"

namespace {

using namespace switchyard;

TEST(Provenance, IsCompleteAndTheSameOnEveryRank) {
  const comm::Communicator world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  setenv("SLURM_JOB_ID", "4711", 1);
  const std::string text =
      record::provenance_json(world, {{"switchyard", "train", "a b.yaml"}, {"2 ranks share 1 core"}, 2, "exchange=x"});
  for (const auto& other : comm::all_gather(world, text)) EXPECT_EQ(other, text);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json.at("ranks"), world.size());
  EXPECT_EQ(json.at("threads"), 2);
  EXPECT_EQ(json.at("exchange"), "exchange=x");
  EXPECT_EQ(json.at("command")[2], "a b.yaml");
  EXPECT_EQ(json.at("batch_system").at("SLURM_JOB_ID"), "4711");
  EXPECT_EQ(json.at("hosts")[0][1], world.size());
  for (const char* library : {"mpi", "hdf5", "kokkos", "yaml-cpp", "openssl", "blas"})
    EXPECT_NE(json.at("libraries").at(library), "") << library;
  EXPECT_EQ(json.at("notes")[0], "2 ranks share 1 core");
  EXPECT_EQ(json.at("start_time").get<std::string>().size(), 20u);
  EXPECT_EQ(json.at("program").at("commit"), record::program_commit());
}

TEST(Provenance, LogLinesNameCommitRanksHostsCommandAndJob) {
  const comm::Communicator world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  setenv("SLURM_JOB_ID", "4711", 1), setenv("SLURM_RESTART_COUNT", "3", 1);
  std::string all;
  for (const std::string& line : record::provenance_lines(
           record::provenance_json(world, {{"switchyard", "train", "a b.yaml"}, {}, 2, "exchange=x"})))
    all += line + "\n";
  for (const std::string& part :
       {"commit=" + record::program_commit(), "ranks=" + std::to_string(world.size()) + " threads=2 processor=\"",
        std::string("\nexchange=x\ncommand: switchyard train a b.yaml\n"), std::string("SLURM_JOB_ID=4711"),
        std::string("SLURM_RESTART_COUNT=3")})
    EXPECT_NE(all.find(part), std::string::npos) << part << " in\n" << all;
}

TEST(Provenance, AMixOfProgramsIsAnError) {
  const auto world = comm::Communicator::duplicate(MPI_COMM_WORLD);
  EXPECT_NO_THROW(record::require_one_kind(record::what_computes(world)));
  EXPECT_EQ(record::what_computes(world)[0].find("program " + record::program_commit()), 0u);
  EXPECT_NO_THROW(record::require_one_kind({"program a", "program a"}));
  try {
    record::require_one_kind({"program a", "program a", "program b"});
    ADD_FAILURE() << "not refused";
  } catch (const AgreedError& error) {
    EXPECT_EQ(error.code(), Exit::layout_variant);
    EXPECT_EQ(std::string(error.what()).find("rank 2 runs program b, rank 0 program a "), 0u) << error.what();
  }
}

TEST(Provenance, VersionTextNamesEveryLibrary) {
  const std::string text = record::version_text();
  const std::string commit = record::program_commit();
  for (const char* word : {"switchyard ", commit.c_str(), "backend", "compiler", "mpi", "hdf5", "kokkos", "yaml-cpp",
                           "openssl", "blas", "CLI11", "fmt", "spdlog", "json", "sentencepiece", "oneDNN"})
    EXPECT_NE(text.find(word), std::string::npos) << word;
}

}  // namespace
