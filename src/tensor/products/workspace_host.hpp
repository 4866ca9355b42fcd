// What the products keep from call to call on a host.
#pragma once
#include <vector>

#include "tensor/products/products.hpp"

namespace switchyard::products {

/// A part of the result of one segment or network, made by one thread: rows [row, row + rows), columns
/// [column, column + columns).
struct Item {
  int segment;
  Index row, rows, column, columns;
};

struct Workspace {
  std::vector<Item> items;
};

}  // namespace switchyard::products
