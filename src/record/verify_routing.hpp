// The laws of what a row of run.h5 says of the routing: integers, and means that follow from them or have a range.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "record/routing_shape.hpp"
#include "record/row_blocks.hpp"

namespace switchyard::record {

/// One row of run.h5, in a block.
struct Row {
  const RowBlocks& block;
  std::int64_t at;  ///< in the block
  const RoutingShape& shape;
  const std::string& where;
  template <class T>
  T value(const char* name) const {
    return block.value<T>(name, at);
  }
  template <class T>
  std::span<const T> all(const char* name) const {
    return block.row<T>(name, at);
  }
  /// The first `count` values of a layer.
  template <class T>
  std::span<const T> layer(const char* name, std::int64_t l, std::int64_t count) const {
    const auto row = all<T>(name);
    return row.subspan(static_cast<std::size_t>(l) * row.size() / static_cast<std::size_t>(shape.layers),
                       static_cast<std::size_t>(count));
  }
};

/// Adds what is wrong with the row's layers to `problems`.
void check_layers(const Row& row, std::vector<std::string>& problems);

}  // namespace switchyard::record
