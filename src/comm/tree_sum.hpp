// The sum of a part of a slab of gradients along the grain tree, on its way while its rank does other things: nodes go
// to the owners of slices, which add them up, and where all ranks are to have the sums, from there to all.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "comm/collectives.hpp"
#include "comm/transfers.hpp"
#include "config/layout.hpp"

namespace switchyard::comm {

/// Begins with the first poll or wait. It goes in rounds, of at most so many elements of each slice that its memory is
/// bounded (sum_elements); while one round's nodes travel, so do the sums of the one before. Every rank of `comm` makes
/// the same sums, and goes through them one after another. Several may share a memory then: only the first one that
/// is not done uses it. One that is dropped waits; while an exception unwinds it ends the run instead, since its peers
/// wait for what is still to be sent.
class TreeSum {
 public:
  /// `share`: the sums go to all ranks; else each element stays with its owner. `comm`, `memory` and the slab must
  /// outlive it; of a slab nothing may be written before it is done.
  TreeSum(const Communicator& comm, std::vector<std::vector<TreeNode>> nodes_of, const SlabPart& slab, bool share,
          SumMemory& memory);
  TreeSum(const TreeSum&) = delete;
  ~TreeSum();

  /// Lets it make progress, and adds up what has arrived; whether it is done.
  bool poll();
  /// Returns when it is done.
  void wait();
  bool done() const { return leg_ == legs_; }
  /// In all, to and from other ranks.
  std::int64_t bytes_sent() const;
  std::int64_t bytes_received() const;

 private:
  Range slice(int owner) const;
  Range part(int owner, std::int64_t round) const;
  std::int64_t nodes_of_others() const;
  void begin();
  void leave();
  void send_nodes();
  void send_sums();
  void arrive();

  const Communicator& comm_;
  std::vector<std::vector<TreeNode>> nodes_of_;
  SlabPart slab_;
  bool share_;
  SumMemory& memory_;
  Transports transports_;
  std::int64_t rounds_, legs_, leg_ = 0;  ///< in leg i travel the nodes of round i, and the sums of the one before
  std::vector<TreeAdd> additions_;
  float *partial_ = nullptr, *others_ = nullptr;  ///< a block of each node; what other ranks have of this one's part
  std::vector<const float*> slots_;               ///< of the nodes of this rank's own part in the leg
  int exceptions_;                                // in flight when this object was made
  std::optional<Transfers> transfers_;            ///< of the leg
};

}  // namespace switchyard::comm
