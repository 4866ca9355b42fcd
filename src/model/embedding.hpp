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

/// The index of a pass where kernels read it.
struct DeviceIndex {
  /// Room for any index of n rows.
  DeviceIndex(Arena& arena, Index rows);
  void take(const Queue& queue, const TokenIndex& index);
  Staged<TokenIndex::Entry> entries;
  Staged<std::int32_t> segments, positions, into, from;
  Index entry_count = 0, segment_count = 0;  ///< without the ones at the end
};

/// Holds parameters only.
class Embedding {
 public:
  /// Of embedding.weight (V, d), and of embedding.gather, which takes the gradient where there is one.
  explicit Embedding(const ParameterSet& parameters);
  /// x(N, d) = rows of the weight.
  void forward(const Queue& queue, const Vector<std::int32_t>& ids, const Tensor& x) const;
  /// Fills the gather's gradient from dx(N, d), which is overwritten, as is `index`.
  void backward(const Queue& queue, const nn::Rows& rows, const std::vector<std::int32_t>& tokens, const Tensor& dx,
                DeviceIndex& index) const;

 private:
  const ParameterSet* parameters_;
  int weight_, gather_;
  int vocabulary_;
};

}  // namespace switchyard::model
