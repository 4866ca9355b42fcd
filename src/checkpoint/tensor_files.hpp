// The HDF5 files of a checkpoint: which there are, and tensors to and from them.
#pragma once
#include <string>
#include <vector>

#include "checkpoint/kept.hpp"
#include "checkpoint/manifest.hpp"
#include "comm/groups.hpp"
#include "tensor/parameter.hpp"

namespace switchyard::checkpoint {

/// Up to 32 experts of one block: a file of its own.
struct ExpertFile {
  static constexpr int max_experts = 32;
  int block = 0;
  int experts = 0;              ///< E of the block
  int chunks = 1;               ///< of each expert, units of their own
  Range range;                  ///< experts in this file
  std::vector<int> parameters;  ///< ids
  Range units() const { return {range.first * chunks, range.last * chunks}; }
  std::string name() const;  ///< "experts-01-0032.h5"
};

/// All expert files of a model, in block and expert order.
std::vector<ExpertFile> expert_files(const ParameterSet& parameters);
/// Ids of the replicated parameters that have a value of their own.
std::vector<int> dense_parameters(const ParameterSet& parameters);

/// Memory of the host for what a rank writes, gathers or sends, made before anything travels: a rank that then lacked
/// it would leave the others waiting.
struct WriteMemory {
  WriteMemory(const comm::Groups& groups, const ParameterSet& parameters);
  HostPart collected;  ///< of collect()
  HostPart received;   ///< an expert's unit of another rank of expert-parallel group 0
};

/// Writes this rank's share into `folder`, synced, and returns it: dense.h5 on world rank 0; expert files on the ranks
/// of expert-parallel group 0 that own their first expert. Collective over expert-parallel group 0, with shards over
/// world, also where a rank fails.
std::vector<ManifestEntry> write_tensors(const std::string& folder, const comm::Groups& groups,
                                         const ParameterSet& parameters, WriteMemory& memory);

/// Elements of shards that the first owner of a placement's parameters gathers at a time for that.
std::int64_t gathered_elements(const ParameterSet& parameters, Placement placement);

/// Reads into the slabs: replicated ones on world rank 0, experts on expert-parallel group 0, shards on every rank its
/// own. No communication.
void read_tensors(const std::string& folder, const comm::Groups& groups, ParameterSet& parameters);
/// Gives what read_tensors read to all other ranks. Collective over world.
void share_tensors(const comm::Groups& groups, ParameterSet& parameters);

}  // namespace switchyard::checkpoint
