#include "record/token_file.hpp"

#include <cstdio>

#include "base/check.hpp"
#include "config/moe_layers.hpp"
#include "record/record_file.hpp"
#include "record/routing_columns.hpp"

namespace switchyard::record {

struct TokenFile::State {
  RecordFile file;
  std::size_t tokens;
  std::size_t layers;
  std::size_t choices;
};

TokenFile::TokenFile(const std::string& path, const Config& config, std::int64_t local_tokens) {
  expect(local_tokens > 0, "tokens on a rank that writes a sample");
  const auto layers = static_cast<std::int64_t>(moe_layers(config).size());
  RecordFile file(FileKind::tokens, path, {{"sample", local_tokens}, {"layer", layers}, {"choice", config.moe.top_k}});
  file.write("block", blocks_of(moe_layers(config)).data());
  file.publish();
  state_.reset(new State{std::move(file), static_cast<std::size_t>(local_tokens), static_cast<std::size_t>(layers),
                         static_cast<std::size_t>(config.moe.top_k)});
}

TokenFile::~TokenFile() = default;

void TokenFile::append(std::int64_t step, const data::Batch& batch, const std::vector<moe::RoutingSample>& layers) {
  const State& s = *state_;
  expect(batch.tokens.size() == s.tokens && layers.size() == s.layers,
         "the tokens and layers that the file was made for");
  const RoutingColumns routing = interleave(layers, s.tokens, s.choices);
  const std::vector<std::int64_t> steps(s.tokens, step);
  std::vector<std::int64_t> sequences;
  std::vector<std::int32_t> positions;
  for (std::int64_t sequence = batch.sequences.first; sequence < batch.sequences.last; ++sequence)
    for (int t = 0; t < batch.context; ++t) sequences.push_back(sequence), positions.push_back(t);
  expect(sequences.size() == s.tokens, "whole sequences");
  state_->file.append("sample", static_cast<std::int64_t>(s.tokens),
                      {{"step", steps.data()},
                       {"sequence", sequences.data()},
                       {"position", positions.data()},
                       {"token", batch.tokens.data()},
                       {"expert", routing.expert.data()},
                       {"weight", routing.weight.data()},
                       {"kept", routing.kept.data()}});
}

void TokenFile::sync() { state_->file.sync(); }
void TokenFile::close() { state_->file.close(); }

std::string TokenFile::name(int rank) {
  char text[32];
  std::snprintf(text, sizeof text, "tokens.r%04d.h5", rank);
  return text;
}

}  // namespace switchyard::record
