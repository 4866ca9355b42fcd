// The token embedding. Its gradient needs no memory beside dx: every segment is summed into its first row.
#include "model/embedding.hpp"

#include <algorithm>
#include <bit>

#include "base/check.hpp"
#include "model/embedding_rows.hpp"

namespace switchyard::model {
namespace {

template <class T>
void put(const std::vector<T>& values, const T* to) {
  std::copy(values.begin(), values.end(), const_cast<T*>(to));
}

/// Additions that sum segments lying in pieces `piece` (ascending, distinct) along the binary tree of all pieces.
void add_segments(const std::vector<std::int32_t>& piece, std::int32_t first, TokenIndex& index) {
  const auto join = [&](std::size_t a, std::size_t b) { return std::bit_width(std::uint32_t(piece[a] ^ piece[b])); };
  std::vector<std::size_t> open;  // segments whose right neighbour in the tree is still to come
  const auto close = [&] {
    const std::size_t from = open.back();
    open.pop_back();
    index.into.push_back(first + static_cast<std::int32_t>(open.back()));
    index.from.push_back(first + static_cast<std::int32_t>(from));
  };
  for (std::size_t s = 0; s < piece.size(); ++s) {
    while (open.size() > 1 && join(open[open.size() - 2], open.back()) < join(open.back(), s)) close();
    open.push_back(s);
  }
  while (open.size() > 1) close();
}

/// Stable counting sort of rows [first, last) by token.
std::vector<std::int32_t> sort_rows(const std::vector<std::int32_t>& tokens, Index first, Index last, int vocabulary) {
  std::vector<std::int32_t> place(vocabulary + 1, 0), sorted(last - first);
  for (Index i = first; i < last; ++i) ++place[tokens[i] + 1];
  for (int v = 0; v < vocabulary; ++v) place[v + 1] += place[v];
  for (Index i = first; i < last; ++i) sorted[place[tokens[i]]++] = static_cast<std::int32_t>(i);
  return sorted;
}

/// Appends the entries of one node, whose rows stand sorted in `sorted`.
void index_node(const nn::Rows& rows, int node, const std::vector<std::int32_t>& sorted,
                const std::vector<std::int32_t>& tokens, TokenIndex& index) {
  std::vector<std::int32_t> pieces;  // of the open entry's segments
  const auto finish = [&] {
    if (!pieces.empty()) add_segments(pieces, index.entries.back().segments, index);
    pieces.clear();
  };
  for (const std::int32_t row : sorted) {
    const auto piece = static_cast<std::int32_t>(rows.nodes[0].first + row / rows.pieces[1]);
    const bool same = !pieces.empty() && index.entries.back().token == tokens[row];
    if (!same) {
      finish();
      index.entries.push_back({node, tokens[row], static_cast<std::int32_t>(index.segments.size()),
                               static_cast<std::int32_t>(index.into.size())});
    }
    if (pieces.empty() || pieces.back() != piece) {
      pieces.push_back(piece);
      index.segments.push_back(static_cast<std::int32_t>(index.positions.size()));
    }
    index.positions.push_back(row);
  }
  finish();
}

}  // namespace

TokenIndex index_tokens(const nn::Rows& rows, const std::vector<std::int32_t>& tokens, int vocabulary) {
  TokenIndex index;
  for (std::size_t t = 0; t < rows.nodes.size(); ++t) {
    const TreeNode& node = rows.nodes[t];
    const int first = node.first - rows.nodes[0].first;
    index_node(rows, static_cast<int>(t),
               sort_rows(tokens, rows.pieces[first], rows.pieces[first + node.size], vocabulary), tokens, index);
  }
  index.segments.push_back(static_cast<std::int32_t>(index.positions.size()));
  index.entries.push_back(
      {0, 0, static_cast<std::int32_t>(index.segments.size() - 1), static_cast<std::int32_t>(index.into.size())});
  return index;
}

Embedding::Embedding(const ParameterSet& parameters)
    : parameters_(&parameters),
      weight_(parameters.id("embedding.weight")),
      gather_(parameters.find("embedding.gather") < 0 ? weight_ : parameters.id("embedding.gather")),
      vocabulary_(static_cast<int>(parameters[weight_].shape[0])) {}

void Embedding::forward(const Queue& queue, const Vector<std::int32_t>& ids, const Tensor& x) const {
  embed(queue, parameters_->weight(weight_), ids, x);
}

namespace {

constexpr Index entry_words = sizeof(TokenIndex::Entry) / sizeof(std::int32_t);

/// Counts, entries, then the lists of an index of `rows` rows.
Index words_of(Index rows) { return entry_words * (rows + 2) + 4 * rows + 1; }

}  // namespace

DeviceIndex::DeviceIndex(Arena& arena, Index rows)
    : rows_(rows), words_(arena, "model::embedding::index", Account::activations, words_of(rows)) {}

IndexPointers DeviceIndex::pointers_of(const std::int32_t* words) const {
  const std::int32_t* lists = words + entry_words * (rows_ + 2);
  return {reinterpret_cast<const TokenIndex::Entry*>(words + entry_words),
          lists,
          lists + rows_ + 1,
          lists + 2 * rows_ + 1,
          lists + 3 * rows_ + 1,
          words,
          rows_};
}

void DeviceIndex::take(const Queue& queue, const TokenIndex& index) {
  std::int32_t* words = words_.host();
  const IndexPointers host = pointers_of(words);
  words[0] = static_cast<std::int32_t>(index.entries.size()) - 1;
  words[1] = static_cast<std::int32_t>(index.segments.size()) - 1;
  put(index.entries, host.entries);
  put(index.segments, host.segments);
  put(index.positions, host.positions);
  put(index.into, host.into);
  put(index.from, host.from);
  words_.to_device(queue, words_of(rows_));
}

void Embedding::take_tokens(const Queue& queue, const nn::Rows& rows, const std::vector<std::int32_t>& tokens,
                            DeviceIndex& index) const {
  if (rows.count > 0) index.take(queue, index_tokens(rows, tokens, vocabulary_));
}

void Embedding::backward(const Queue& queue, const nn::Rows& rows, const DeviceIndex& index, const Tensor& dx) const {
  if (rows.count == 0) return;
  const Index stride = parameters_->gradient_stride(gather_), size = (*parameters_)[gather_].unit;
  float* gradient = parameters_->gradient(gather_) + rows.sums.slot * stride;
  for (std::size_t t = 0; t < rows.nodes.size(); ++t) fill(queue, Vector<float>(gradient + t * stride, size), 0.0f);
  sum_entries(queue, index.pointers(), dx, gradient, stride);
  parameters_->take_steps(queue, gather_, rows.sums.steps);
}

}  // namespace switchyard::model
