// Where a result comes from: program, compiler, libraries, machine, batch job (contract C5).
#pragma once
#include <string>
#include <vector>

#include "comm/communicator.hpp"

namespace switchyard::record {

std::string program_version();  ///< "0.1.0"
std::string program_commit();   ///< hash, with "-dirty" where the tree had changes; "unknown" outside a repository

/// JSON text, the same on every rank: versions, compiler and flags, backend, hosts of all ranks, threads, processor,
/// batch system's ids, start time (UTC) and command line. Collective over `world`.
std::string provenance_json(const comm::Communicator& world, const std::vector<std::string>& command, int threads);

/// What `switchyard --version` prints: commit, backend and every library's version.
std::string version_text();

}  // namespace switchyard::record
