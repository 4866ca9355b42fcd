// What computes the products, in words.
#pragma once
#include <string>

namespace switchyard::products {

/// For --version and the record: "simd avx2 8 x 6x16", "cuBLAS 13.0".
const char* description();
/// What else than this program the bits depend on: the library and the architecture of the current device. "" on a
/// host, where products are our own and the same on every processor with fused multiply-adds.
std::string bits_depend_on();

}  // namespace switchyard::products
