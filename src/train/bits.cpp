#include "train/bits.hpp"

#include "base/files.hpp"
#include "checkpoint/kept.hpp"
#include "checkpoint/tensor_storage.hpp"
#include "comm/collectives.hpp"
#include "train/step.hpp"
#include "train/synthetic.hpp"

namespace switchyard::train {
namespace {

/// A digest of numbers as they lie in memory.
class Digest {
 public:
  Digest& add(double value) {
    sum_.add(&value, sizeof value);
    return *this;
  }
  template <class T>
  Digest& add(const std::vector<T>& values) {
    sum_.add(values.data(), values.size() * sizeof(T));
    return *this;
  }
  std::string text() { return sum_.hex().substr(0, 16); }

 private:
  files::Sha256 sum_;
};

class Lines {
 public:
  Lines(const Config& config, comm::Communicator ranks)
      : machine_(config, std::move(ranks)), layout_(machine_.groups.layout) {}
  std::vector<std::string> take();

 private:
  void line(const std::string& what, Digest& digest) { lines_.push_back(where_ + what + ": " + digest.text()); }
  void add_routing();
  void add_loss(const model::LossParts& loss);
  std::vector<float> numbers_of(const Parameter& p, std::size_t kind, const Range& unit) const;
  std::string in_order(const Parameter& p, const std::vector<std::string>& places) const;
  void add_parameters();
  void step(std::int64_t step);
  void evaluation();

  Machine machine_;
  Layout layout_;
  std::string where_;
  std::vector<std::string> lines_;
};

void Lines::add_routing() {
  for (const moe::Layer* layer : machine_.model->moe_layers()) {
    const moe::LayerStatistics& s = layer->statistics();
    Digest digest;
    digest.add(s.assigned).add(s.kept).add(s.prob_mass).add(s.bias).add(s.margin).add(s.entropy);
    digest.add(s.aux_loss).add(s.importance_loss).add(s.z_loss).add(s.score_spread).add(s.mean_weight);
    line("routing of block " + std::to_string(s.block), digest);
  }
}

void Lines::add_loss(const model::LossParts& loss) {
  Digest digest;
  digest.add(loss.cross_entropy).add(loss.head_z).add(loss.aux).add(loss.importance).add(loss.router_z);
  line("loss", digest);
}

/// What this rank keeps of a unit, or, where it keeps a shard only, what its owners do.
std::vector<float> Lines::numbers_of(const Parameter& p, std::size_t kind, const Range& unit) const {
  if (!checkpoint::is_sharded(machine_.parameters, kind))
    return host_values(
        Vector<float>(checkpoint::slab(machine_.parameters, p.placement, kind).data() + unit.first, unit.size()));
  checkpoint::HostPart memory;
  const checkpoint::HostPart first =
      checkpoint::collect(machine_.groups, machine_.parameters, p.placement, kind, unit, memory);
  std::vector<float> numbers(first.data(), first.data() + first.size());
  numbers.resize(unit.size());
  comm::broadcast(checkpoint::owners_of(machine_.groups, p.placement), numbers.data(),
                  unit.size() * static_cast<std::int64_t>(sizeof(float)), 0);
  return numbers;
}

/// The sums of all units of an expert tensor, given those of each place.
std::string Lines::in_order(const Parameter& p, const std::vector<std::string>& places) const {
  std::vector<std::size_t> next(places.size(), 0);
  constexpr std::size_t length = 64;  // of a SHA-256 in hexadecimal
  std::string all;
  for (std::int64_t unit = 0; unit < p.units(); ++unit) {
    const auto place = static_cast<std::size_t>(place_of_unit(p, layout_, unit));
    all += places[place].substr(next[place], length);
    next[place] += length;
  }
  return all;
}

/// Values and both moments, unit by unit, those of experts from the ranks that hold them; then the selection biases.
void Lines::add_parameters() {
  Digest digest;
  const ParameterSet& all = machine_.parameters;
  for (const Parameter& p : all.all()) {
    if (!p.adds_to.empty()) continue;
    std::string units;
    for (Index u = 0; u < p.local_units(); ++u) {
      files::Sha256 sum;
      for (std::size_t kind = 0; kind < checkpoint::tensor_kinds.size(); ++kind) {
        const std::vector<float> unit = numbers_of(p, kind, checkpoint::unit_of(p, u));
        sum.add(unit.data(), unit.size() * sizeof(float));
      }
      units += sum.hex();
    }
    if (p.placement == Placement::expert) units = in_order(p, comm::all_gather(machine_.groups.expert, units));
    digest.add(std::vector<char>(units.begin(), units.end()));
  }
  for (const moe::Layer* layer : machine_.model->moe_layers()) digest.add(layer->bias());
  line("parameters", digest);
}

void Lines::step(std::int64_t step) {
  where_ = "step " + std::to_string(step) + ", ";
  const StepResult result = train_step(machine_, synthetic_batch(machine_.config, layout_, step), step);
  add_routing();
  add_loss(result.loss);
  Digest norm;
  line("gradient norm", norm.add(result.gradient_norm));
  add_parameters();
}

void Lines::evaluation() {
  where_ = "evaluation, ";
  machine_.model->forward(machine_.queue(), synthetic_batch(machine_.config, layout_, machine_.config.train.steps + 1),
                          moe::Pass::evaluate);
  const model::LossParts loss = machine_.model->reduce(machine_.queue());
  add_routing();
  add_loss(loss);
  const std::vector<std::int32_t> mine = machine_.model->predictions();
  Digest predictions;
  line("predictions",
       predictions.add(comm::all_gather(machine_.groups.world, std::vector<std::int64_t>(mine.begin(), mine.end()))));
}

std::vector<std::string> Lines::take() {
  where_ = "start, ";
  add_parameters();
  for (std::int64_t i = 1; i <= machine_.config.train.steps; ++i) step(i);
  evaluation();
  return lines_;
}

}  // namespace

std::vector<std::string> trained_bits(const Config& config, comm::Communicator ranks) {
  return Lines(config, std::move(ranks)).take();
}

}  // namespace switchyard::train
