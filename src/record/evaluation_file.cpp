#include "record/evaluation_file.hpp"

#include <nlohmann/json.hpp>

#include "base/check.hpp"
#include "config/moe_layers.hpp"
#include "record/record_file.hpp"
#include "record/routing_columns.hpp"

namespace switchyard::record {
namespace {

RecordFile::Sizes sizes_of(const Config& config, const EvaluationTokens& tokens) {
  return {{"evaluation", 1},
          {"sample", static_cast<std::int64_t>(tokens.token.size())},
          {"layer", static_cast<std::int64_t>(moe_layers(config).size())},
          {"choice", config.moe.top_k},
          {"vocabulary", static_cast<std::int64_t>(tokens.token_text.size())}};
}

}  // namespace

struct EvaluationFile::State {
  RecordFile file;
  std::size_t samples;
  std::size_t layers;
  std::size_t choices;
};

std::string cut_utf8(const std::string& text, std::size_t bytes) {
  if (text.size() <= bytes) return text;
  std::size_t end = bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end ? end : bytes);
}

EvaluationFile::EvaluationFile(const std::string& path, const Config& config, const EvaluationTokens& tokens) {
  const std::size_t samples = tokens.token.size();
  expect(samples > 0 && tokens.next.size() == samples && tokens.position.size() == samples &&
             tokens.document.size() == samples && tokens.domain.size() == samples,
         "every property of every held-out token");
  RecordFile file(FileKind::evaluation, path, sizes_of(config, tokens));
  file.attribute("domains",
                 nlohmann::json(tokens.domain_names).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  file.write("block", blocks_of(moe_layers(config)).data());
  file.write("token", tokens.token.data());
  file.write("next", tokens.next.data());
  file.write("position", tokens.position.data());
  file.write("document", tokens.document.data());
  file.write("domain", tokens.domain.data());
  std::string texts;
  for (const auto& text : tokens.token_text) texts += (cut_utf8(text, 16) + std::string(16, '\0')).substr(0, 16);
  file.write("token_text", texts.data());
  file.publish();
  state_.reset(
      new State{std::move(file), samples, moe_layers(config).size(), static_cast<std::size_t>(config.moe.top_k)});
}

EvaluationFile::~EvaluationFile() = default;

void EvaluationFile::append(const EvaluationRouting& evaluation) {
  const State& s = *state_;
  expect(evaluation.predicted.size() == s.samples && evaluation.loss.size() == s.samples &&
             evaluation.layers.size() == s.layers,
         "the samples and layers that the file was made for");
  const RoutingColumns routing = interleave(evaluation.layers, s.samples, s.choices);
  std::vector<std::uint8_t> dropped(routing.kept.size());
  for (std::size_t i = 0; i < dropped.size(); ++i) dropped[i] = routing.expert[i] >= 0 && !routing.kept[i];
  state_->file.append("evaluation", 1,
                      {{"step", &evaluation.step},
                       {"predicted", evaluation.predicted.data()},
                       {"loss", evaluation.loss.data()},
                       {"expert", routing.expert.data()},
                       {"weight", routing.weight.data()},
                       {"dropped", dropped.data()}});
}

void EvaluationFile::sync() { state_->file.sync(); }
void EvaluationFile::close() { state_->file.close(); }

}  // namespace switchyard::record
