#include "train/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "comm/agree.hpp"
#include "comm/collectives.hpp"
#include "tensor/region.hpp"

namespace switchyard::train {
namespace {

/// Values of all ranks in global token order, on rank 0: `of_token` of each token.
template <class T>
std::vector<T> gather(const Machine& m, const std::vector<T>& mine, std::int64_t of_token) {
  const Layout& layout = m.groups.layout;
  const std::int64_t of_grain = of_token * m.config.grain_sequences() * m.config.model.context;
  std::vector<std::int64_t> counts;
  for (int r = 0; r < layout.ranks; ++r) counts.push_back(layout.grains_of(r).size() * of_grain);
  return comm::gather_on_root(m.groups.world, mine, counts);
}

template <class T>
void append(std::vector<T>& to, const std::vector<T>& from, std::int64_t most) {
  const auto room = std::clamp<std::int64_t>(most - static_cast<std::int64_t>(to.size()), 0, from.size());
  to.insert(to.end(), from.begin(), from.begin() + room);
}

/// Means of the losses (T) in equal contiguous parts, summed in token order.
std::vector<double> block_means(const std::vector<float>& losses) {
  constexpr std::size_t blocks = record::EvaluationRow::blocks;
  std::vector<double> means;
  for (std::size_t b = 0; b < blocks; ++b) {
    const auto first = losses.begin() + static_cast<std::ptrdiff_t>(losses.size() * b / blocks),
               last = losses.begin() + static_cast<std::ptrdiff_t>(losses.size() * (b + 1) / blocks);
    means.push_back(first == last ? std::numeric_limits<double>::quiet_NaN()
                                  : std::accumulate(first, last, 0.0) / static_cast<double>(last - first));
  }
  return means;
}

/// Adds the routing of one held-out batch, up to the number of tokens that is recorded.
void add_routing(Machine& m, std::int64_t samples, record::EvaluationRouting& routing) {
  append(routing.predicted, gather(m, m.model->predictions(), 1), samples);
  const auto samples_of = m.model->samples();
  routing.layers.resize(samples_of.size());
  for (std::size_t i = 0; i < samples_of.size(); ++i) {
    const moe::RoutingSample& mine = samples_of[i];
    const std::int64_t k = m.config.moe.top_k;
    append(routing.layers[i].experts, gather(m, mine.experts, k), samples * k);
    append(routing.layers[i].weights, gather(m, mine.weights, k), samples * k);
    append(routing.layers[i].kept, gather(m, mine.kept, k), samples * k);
  }
}

/// Bytes of text that the held-out targets stand for; 0 where the corpus does not know.
std::int64_t target_bytes(const data::Corpus& corpus, const data::Batches& batches, const Config& config) {
  if (corpus.bytes(data::Split::validation) == 0) return 0;
  std::vector<std::int64_t> length(corpus.vocabulary());
  for (int id = 0; id < corpus.vocabulary(); ++id) length[id] = static_cast<std::int64_t>(corpus.token_text(id).size());
  const std::int64_t tokens = batches.evaluation_batches() * config.step_tokens();
  std::vector<std::int32_t> ids(tokens + 1);
  corpus.read(data::Split::validation, 0, tokens + 1, ids.data());
  std::int64_t bytes = 0;
  for (std::int64_t i = 1; i <= tokens; ++i) bytes += length[ids[i]];
  return bytes;
}

}  // namespace

Evaluation evaluate(Machine& m, const data::Corpus& corpus, const data::Batches& batches, std::int64_t step) {
  Region region(m.timers, Phase::evaluate);
  const std::int64_t count = batches.evaluation_batches(), tokens = count * m.config.step_tokens();
  const std::int64_t samples = std::min<std::int64_t>(tokens, record::EvaluationTokens::most);
  Evaluation evaluation;
  evaluation.row.step = evaluation.routing.step = step;
  std::vector<float> losses;  // of all held-out tokens, in their order; on rank 0
  for (std::int64_t i = 0; i < count; ++i) {
    data::Batch batch;
    comm::agree(m.groups.world, [&] { batch = batches.validation(i); });
    m.model->forward(batch, moe::Pass::evaluate);
    evaluation.row.loss += m.model->reduce().cross_entropy / static_cast<double>(count);
    append(losses, gather(m, m.model->token_losses(), 1), tokens);
    if (i * m.config.step_tokens() < samples) add_routing(m, samples, evaluation.routing);
  }
  if (m.groups.world.rank() == 0) {
    evaluation.row.block_loss = block_means(losses);
    losses.resize(static_cast<std::size_t>(samples));
    evaluation.routing.loss = std::move(losses);
  }
  const std::int64_t bytes = target_bytes(corpus, batches, m.config);
  evaluation.row.bits_per_byte =
      bytes > 0 ? evaluation.row.loss * static_cast<double>(tokens) / std::log(2.0) / static_cast<double>(bytes)
                : std::numeric_limits<double>::quiet_NaN();
  return evaluation;
}

record::EvaluationTokens evaluation_tokens(const data::Corpus& corpus, const data::Batches& batches,
                                           const Config& config) {
  const std::int64_t count =
      std::min<std::int64_t>(batches.evaluation_batches() * config.step_tokens(), record::EvaluationTokens::most);
  record::EvaluationTokens t;
  std::vector<std::int32_t> ids(count + 1);
  corpus.read(data::Split::validation, 0, count + 1, ids.data());
  t.token.assign(ids.begin(), ids.end() - 1), t.next.assign(ids.begin() + 1, ids.end());
  const auto& documents = corpus.documents(data::Split::validation);
  std::int64_t document = documents.empty() ? -1 : 0;
  for (std::int64_t i = 0; i < count; ++i) {
    while (document >= 0 && i >= documents[document].first + documents[document].tokens) ++document;
    t.position.push_back(static_cast<std::int32_t>(i % config.model.context));
    t.document.push_back(document);
    t.domain.push_back(document < 0 ? -1 : documents[document].domain);
  }
  t.domain_names = corpus.domains();
  for (int id = 0; id < corpus.vocabulary(); ++id) t.token_text.push_back(record::cut_utf8(corpus.token_text(id), 16));
  t.token_text.resize(config.model.vocabulary);
  return t;
}

}  // namespace switchyard::train
