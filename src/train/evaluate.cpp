#include "train/evaluate.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/activity.hpp"
#include "comm/agree.hpp"
#include "comm/collectives.hpp"
#include "tensor/region.hpp"

namespace switchyard::train {
namespace {

/// Adds to `to`, on rank 0, what all ranks have of the first `tokens` tokens of a batch, in their order: `of_token`
/// values of each.
template <class T>
void gather(const Machine& m, const std::vector<T>& mine, std::int64_t of_token, std::int64_t tokens,
            std::vector<T>& to) {
  const Layout& layout = m.groups.layout;
  const std::int64_t of_grain = m.config.grain_sequences() * m.config.model.context;
  std::vector<std::int64_t> counts;
  for (int r = 0; r < layout.ranks; ++r) {
    const Range grains = layout.grains_of(r);
    counts.push_back(of_token *
                     std::clamp<std::int64_t>(tokens - grains.first * of_grain, 0, grains.size() * of_grain));
  }
  const std::vector<T> all = comm::gather_on_root(m.groups.world, mine, counts);
  to.insert(to.end(), all.begin(), all.end());
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

/// Adds the routing of the first `tokens` tokens of a held-out batch: of the others nothing is recorded or sent.
void add_routing(Machine& m, std::int64_t tokens, record::EvaluationRouting& routing) {
  gather(m, m.model->predictions(), 1, tokens, routing.predicted);
  const std::vector<moe::RoutingSample> of_layers = m.model->samples();
  routing.layers.resize(of_layers.size());
  for (std::size_t i = 0; i < of_layers.size(); ++i) {
    const moe::RoutingSample& mine = of_layers[i];
    const std::int64_t k = m.config.moe.top_k;
    gather(m, mine.experts, k, tokens, routing.layers[i].experts);
    gather(m, mine.weights, k, tokens, routing.layers[i].weights);
    gather(m, mine.kept, k, tokens, routing.layers[i].kept);
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
    activity::progress();
    data::Batch batch;
    comm::agree(m.groups.world, [&] { batch = batches.validation(i); });
    m.model->forward(m.queue(), batch, moe::Pass::evaluate);
    evaluation.row.loss += m.model->reduce(m.queue()).cross_entropy / static_cast<double>(count);
    // All of them: the mean of a part is one chain of additions, whichever ranks its tokens are on.
    gather(m, m.model->token_losses(), 1, m.config.step_tokens(), losses);
    const std::int64_t left = samples - i * m.config.step_tokens();
    if (left > 0) add_routing(m, std::min(left, m.config.step_tokens()), evaluation.routing);
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
