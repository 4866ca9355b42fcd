// The token embedding: a gather of rows, and its transpose, a sum of rows per vocabulary entry.
#pragma once
#include <cstdint>
#include <vector>

#include "nn/rows.hpp"
#include "tensor/parameter.hpp"
#include "tensor/room.hpp"

namespace switchyard::model {

/// Which rows of a batch hold which token, cut at grains and tree nodes. A segment is a token's rows in one grain, in
/// order; an entry is a token of one node with its segments. Absent grains add +0, which changes no sum that starts at
/// +0, so they are left out.
struct TokenIndex {
  struct Entry {
    std::int32_t node, token;
    std::int32_t segments;  ///< first segment; ends where the next entry begins
    std::int32_t adds;      ///< first addition between segments; ends where the next entry begins
  };
  std::vector<Entry> entries;            ///< one more at the end
  std::vector<std::int32_t> segments;    ///< first place in `positions`; one more at the end
  std::vector<std::int32_t> positions;   ///< rows of the batch
  std::vector<std::int32_t> into, from;  ///< additions: segment `into` += segment `from`
};

/// Index of `tokens` (N), each in [0, vocabulary).
TokenIndex index_tokens(const nn::Rows& rows, const std::vector<std::int32_t>& tokens, int vocabulary);

/// A TokenIndex as kernels read it.
struct IndexPointers {
  const TokenIndex::Entry* entries;
  const std::int32_t *segments, *positions, *into, *from;
  const std::int32_t* counts;  ///< (2) of entries and of segments, without the ones at the end
  Index most;                  ///< of either
};

/// The index of a pass where kernels read it: one memory, so that it is copied as one.
class DeviceIndex {
 public:
  /// Room for any index of `rows` rows.
  DeviceIndex(Arena& arena, Index rows);
  /// The host's last index must be where it was sent.
  void take(const Queue& queue, const TokenIndex& index);
  IndexPointers pointers() const { return pointers_of(words_.device()); }

 private:
  IndexPointers pointers_of(const std::int32_t* words) const;
  Index rows_;
  Staged<std::int32_t> words_;
};

/// Holds parameters only.
class Embedding {
 public:
  /// Of embedding.weight (V, d), and of embedding.gather, which takes the gradient where there is one.
  explicit Embedding(const ParameterSet& parameters);
  /// x(N, d) = rows of the weight.
  void forward(const Queue& queue, const Vector<std::int32_t>& ids, const Tensor& x) const;
  /// `index` = that of `tokens` (N), before backward.
  void take_tokens(const Queue& queue, const nn::Rows& rows, const std::vector<std::int32_t>& tokens,
                   DeviceIndex& index) const;
  /// Fills the gather's gradient from dx(N, d), which is overwritten.
  void backward(const Queue& queue, const nn::Rows& rows, const DeviceIndex& index, const Tensor& dx) const;

 private:
  const ParameterSet* parameters_;
  int weight_, gather_;
  int vocabulary_;
};

}  // namespace switchyard::model
