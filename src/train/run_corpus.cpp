#include "train/run_corpus.hpp"

#include <filesystem>
#include <optional>

#include "base/check.hpp"
#include "comm/agree.hpp"

namespace switchyard::train {

data::Corpus open_corpus_for(Config& config, bool begun) {
  std::error_code unreachable;
  check(std::filesystem::status(config.data.path, unreachable).type() != std::filesystem::file_type::not_found,
        Exit::usage,
        "data.path: " + config.data.path + " does not exist; " +
            (begun ? "put the corpus back that the run was trained on"
                   : "make a corpus there with switchyard data build, or give the folder of one"));
  auto corpus = data::Corpus::open(config.data.path);
  if (config.model.vocabulary == 0) config.model.vocabulary = corpus.vocabulary();
  check(config.model.vocabulary >= corpus.vocabulary(), Exit::usage,
        "model.vocabulary is " + std::to_string(config.model.vocabulary) + ", but the corpus " + config.data.path +
            " has " + std::to_string(corpus.vocabulary()) + " tokens; " +
            (begun ? "put back the corpus that the run was trained on" : "set it to 0 to take the corpus's"));
  return corpus;
}

data::Corpus open_corpus(const comm::Communicator& world, Config& config, bool begun) {
  std::optional<data::Corpus> corpus;
  comm::agree(world, [&] {
    config.data.path = std::filesystem::absolute(config.data.path).lexically_normal().string();  // kept with the run
    corpus.emplace(open_corpus_for(config, begun));
  });
  return std::move(*corpus);
}

void require_same_corpus(const checkpoint::TrainState& state, const data::Corpus& corpus, const std::string& run) {
  check(state.corpus_sha256 == corpus.manifest_sha256(), Exit::usage,
        corpus.path() + " is not the corpus that " + run +
            " was trained on (its manifest has another sha256); put that corpus back");
}

}  // namespace switchyard::train
