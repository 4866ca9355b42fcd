// Files that all ranks of a test read or write.
#pragma once
#include <optional>
#include <string>

#include "comm/collectives.hpp"
#include "support/folder.hpp"

namespace switchyard::test {

/// A folder of rank 0, with a corpus in it that rank 0 makes; gone once all ranks have left.
class Files {
 public:
  explicit Files(std::string (*make)(const Folder&)) : world_(comm::Communicator::duplicate(MPI_COMM_WORLD)) {
    if (world_.rank() == 0) corpus_ = make(folder_.emplace());
    corpus_ = comm::broadcast(world_, corpus_, 0);
    path_ = comm::broadcast(world_, folder_ ? folder_->path() : "", 0);
  }
  ~Files() { MPI_Barrier(world_.handle()); }
  const std::string& corpus() const { return corpus_; }
  const std::string& path() const { return path_; }

 private:
  comm::Communicator world_;
  std::optional<Folder> folder_;
  std::string corpus_, path_;
};

}  // namespace switchyard::test
