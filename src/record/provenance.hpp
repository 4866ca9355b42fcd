// Where a result comes from: program, compiler, libraries, machine, batch job (contract C5).
#pragma once
#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace switchyard::record {

std::string program_version();  ///< "0.1.0"
std::string program_commit();   ///< hash, with "-dirty" where the tree had changes; "unknown" outside a repository

/// What decides the bits of every rank: the program's commit, on GPUs also cuBLAS and the architecture. Processors may
/// differ (contract C1). Collective.
std::vector<std::string> what_computes(const comm::Communicator& world);
/// Throws AgreedError{layout_variant} naming the first rank that differs from rank 0.
void require_one_kind(const std::vector<std::string>& kinds);

/// How the program was started.
struct Start {
  std::vector<std::string> command;
  std::vector<std::string> notes;  ///< what differs from what was asked for
  int threads = 1;
  std::string parent{};  ///< parent_text of the run that this one has started from; "" for none
};
/// JSON text, the same on every rank: versions, compiler and flags, backend, hosts of all ranks, threads, processor,
/// batch system's ids, start time (UTC), command line, notes and parent. Collective over `world`.
std::string provenance_json(const comm::Communicator& world, const Start& start);
/// The lines of it that a log begins with.
std::vector<std::string> provenance_lines(const std::string& provenance);

/// What `switchyard --version` prints: commit, backend and every library's version.
std::string version_text();

}  // namespace switchyard::record
