// Writing one expert file of a checkpoint from all ranks of an expert-parallel group, and from others what they have of
// its shards.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/kept.hpp"
#include "checkpoint/tensor_files.hpp"
#include "checkpoint/tensor_storage.hpp"
#include "comm/groups.hpp"

namespace switchyard::checkpoint {

/// The rank of expert-parallel group 0 that holds the file's first unit writes; the others of that group send their
/// experts, one message a unit, in the order in which they are written. Ranks of other groups send shards to the one of
/// group 0 that holds the same experts. Every rank of the group, and with shards of the world, calls write() or send().
class ExpertWriter {
 public:
  /// What is referred to must live.
  ExpertWriter(const std::string& folder, const comm::Groups& groups, const ParameterSet& parameters,
               const ExpertFile& part, WriteMemory& memory);
  bool mine() const { return layout_.group() == 0 && owner_ == group_.rank(); }
  void send();
  /// Receives everything even after a failure, so that the senders go on; then throws it.
  ManifestEntry write();

 private:
  std::vector<std::int64_t> held() const;
  HostPart unit_on_host(const Parameter& p, std::size_t kind, std::int64_t unit);
  void open();
  void make_dataset(const Parameter& p, std::size_t kind);
  void write_units(const Parameter& p, std::size_t kind);

  const std::string& folder_;
  const comm::Groups& groups_;
  const comm::Communicator& group_;
  const Layout& layout_;
  const ParameterSet& parameters_;
  const ExpertFile& part_;
  int owner_;
  Attempts attempt_;
  WriteMemory& memory_;
  std::unique_ptr<hdf5::File> file_;
  hdf5::Id dataset_;
  std::string where_;  ///< of the dataset, for messages
};

}  // namespace switchyard::checkpoint
