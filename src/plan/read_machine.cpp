// A machine description from its YAML, strictly: every key once, none unknown, every number in its range.
#include <algorithm>
#include <map>
#include <set>

#include "base/check.hpp"
#include "config/values.hpp"
#include "config/yaml_tree.hpp"
#include "plan/machine_description.hpp"

namespace switchyard::plan {
namespace {

using Kind = YamlNode::Kind;

/// Reads the entries of one map, and complains about all that is wrong.
class Section {
 public:
  Section(std::vector<std::string>& errors, const std::string& file, const YamlNode& node, std::string prefix)
      : errors_(errors), file_(file), prefix_(std::move(prefix)), place_(node.place) {
    if (node.kind != Kind::map)
      complain(node.place, (prefix_.empty() ? std::string("a machine") : prefix_).append(" is made of keys"));
    for (std::size_t i = 0; node.kind == Kind::map && i + 1 < node.items.size(); i += 2) {
      if (entries_.contains(node.items[i].text)) complain(node.items[i].place, node.items[i].text + ": duplicate key");
      entries_.emplace(node.items[i].text, &node.items[i + 1]);
    }
  }
  bool has(const std::string& key) const { return entries_.contains(key); }

  /// The value of a key, which is then known; null, and a complaint, where it is missing.
  const YamlNode* take(const std::string& key) {
    known_.insert(key);
    const auto found = entries_.find(key);
    if (found == entries_.end()) complain(place_, full(key) + ": is missing");
    return found == entries_.end() ? nullptr : found->second;
  }
  template <class T>
  void value(const std::string& key, T& into, double low, double high) {
    const YamlNode* node = take(key);
    if (node) one(*node, full(key), into, low, high);
  }
  void text(const std::string& key, std::string& into) {
    const YamlNode* node = take(key);
    if (!node) return;
    if (node->kind != Kind::scalar) return complain(node->place, full(key) + ": must be text");
    into = node->text;
  }
  template <class T>
  void list(const std::string& key, std::vector<T>& into, double low, double high) {
    const YamlNode* node = take(key);
    if (!node) return;
    if (node->kind != Kind::list || node->items.empty()) return complain(node->place, full(key) + ": must be a list");
    for (const YamlNode& item : node->items) one(item, full(key), into.emplace_back(), low, high);
  }
  /// All entries that nobody took.
  void refuse_unknown() {
    for (const auto& [key, node] : entries_)
      if (!known_.contains(key)) complain(node->place, full(key) + ": unknown key");
  }
  void complain(const TextPlace& at, const std::string& message) {
    std::string text = file_;
    if (at.line > 0) text.append(":").append(std::to_string(at.line)).append(":").append(std::to_string(at.column));
    errors_.push_back(text.append(": ").append(message));
  }
  const TextPlace& place() const { return place_; }
  std::string full(const std::string& key) const {
    std::string name = prefix_;
    if (!name.empty()) name += '.';
    return name.append(key);
  }

 private:
  template <class T>
  void one(const YamlNode& node, const std::string& name, T& into, double low, double high) {
    std::string wrong = node.kind == Kind::scalar ? parse_value(node.text, into) : "must be a number";
    if (wrong.empty() && !(double(into) >= low && double(into) <= high))
      wrong = node.text + " is out of range; must be in [" + format_value(low) + ", " + format_value(high) + "]";
    if (!wrong.empty()) complain(node.place, name + ": " + wrong);
  }

  std::vector<std::string>& errors_;
  const std::string& file_;
  std::string prefix_;
  TextPlace place_;
  std::map<std::string, const YamlNode*> entries_;
  std::set<std::string> known_;
};

constexpr double most_seconds = 1e12;  // of whatever unit; beyond it is no measurement

void read_products(Section& s, ProductRates& rates) {
  for (const auto& [key, axis] :
       {std::pair("rows", &rates.rows), std::pair("inner", &rates.inner), std::pair("columns", &rates.columns)}) {
    s.list(key, *axis, 1, 1e9);
    if (std::adjacent_find(axis->begin(), axis->end(), std::greater_equal<>()) != axis->end())
      s.complain(s.place(), s.full(key) + ": must ascend");
  }
  const std::size_t points = rates.rows.size() * rates.inner.size() * rates.columns.size();
  for (int p = 0; p < static_cast<int>(Product::count); ++p) {
    const std::string& key = name_of(static_cast<Product>(p));
    s.list(key, rates.gflops[p], 1e-6, 1e9);
    if (s.has(key) && rates.gflops[p].size() != points)
      s.complain(s.place(), s.full(key) + ": has " + std::to_string(rates.gflops[p].size()) +
                                " numbers, but rows, inner and columns make " + std::to_string(points));
  }
  s.refuse_unknown();
}

/// Ways of the first format, by MPI, do not say so.
void read_way(Section s, bool says_transport, std::optional<Way>& into) {
  Way way;
  std::string transport = "mpi";
  if (says_transport) s.text("transport", transport);
  way.by_window = transport == "window";
  if (!way.by_window && transport != "mpi")
    s.complain(s.place(), s.full("transport") + ": is " + transport + "; must be mpi or window");
  double gbit = 0.0, kib = 0.0;
  s.value("latency_us", way.latency, 0, most_seconds), way.latency *= 1e-6;
  s.value("gbit_per_s", gbit, 1e-6, 1e6), way.bytes_per_s = gbit * 1e9 / 8.0;
  s.value("collective_us", way.collective, 0, most_seconds), way.collective *= 1e-6;
  s.value("buffer_kib", kib, 0, 1e9), way.buffer = kib * 1024.0;
  s.value("poll_us", way.poll, 0, most_seconds), way.poll *= 1e-6;
  s.refuse_unknown();
  into = way;
}

void read_stages(Section s, MachineDescription& m) {
  for (const schedule::Stage stage : timed_stages()) {
    const std::string& key = schedule::name_of(stage);
    std::vector<double> ps;
    s.list(key, ps, 0, most_seconds);
    if (s.has(key) && ps.size() != 2) s.complain(s.place(), s.full(key) + ": must be [forward, backward]");
    if (ps.size() == 2) m.stages[static_cast<std::size_t>(stage)] = {ps[0] * 1e-12, ps[1] * 1e-12};
  }
  s.refuse_unknown();
}

}  // namespace

MachineDescription machine_from_yaml(const std::string& name, const std::string& text) {
  std::vector<std::string> errors;
  MachineDescription m;
  const YamlTree tree = parse_yaml(text);
  for (const YamlError& e : tree.errors)
    errors.push_back(name + ":" + std::to_string(e.place.line) + ":" + std::to_string(e.place.column) + ": " +
                     e.message);
  Section s(errors, name, tree.root, "");
  std::string format;
  s.text("format", format);
  const bool first = format == "switchyard-machine-1";
  if (s.has("format") && !first && format != "switchyard-machine-2")
    s.complain(s.place(),
               "format: is " + format + ", not switchyard-machine-2 or -1; measure again: switchyard bench machine");
  for (const auto& [key, into] :
       {std::pair("commit", &m.commit), std::pair("host", &m.host), std::pair("date", &m.date),
        std::pair("products_by", &m.products_by), std::pair("reference", &m.reference)})
    s.text(key, *into);
  for (const auto& [key, into] : {std::pair("ranks", &m.ranks), std::pair("nodes", &m.nodes),
                                  std::pair("threads", &m.threads), std::pair("repetitions", &m.repetitions)})
    s.value(key, *into, 1, 1 << 20);
  double gib = 0.0;
  s.value("memory_gib", gib, 1e-6, 1e9), m.memory = gib * 1073741824.0;
  if (const YamlNode* node = s.take("products")) {
    Section products(errors, name, *node, "products");
    read_products(products, m.products);
  }
  if (const YamlNode* node = s.take("stages")) read_stages({errors, name, *node, "stages"}, m);
  for (const auto& [key, way] :
       {std::pair("near", &m.near), std::pair("near_by_mpi", &m.near_by_mpi), std::pair("far", &m.far)})
    if (s.has(key)) read_way({errors, name, *s.take(key), key}, !first, *way);
  // Each of them is measured where there is a pair of ranks for it, so a file that lacks one has lost it.
  if (errors.empty() && m.nodes > 1 && !m.far) s.complain(s.place(), "far: is missing, though nodes is not 1");
  if (errors.empty() && m.ranks > m.nodes && !m.near)
    s.complain(s.place(), "near: is missing, though there are more ranks than nodes");
  s.refuse_unknown();
  check(errors.empty(), Exit::usage, join(errors, "\n"));
  return m;
}

}  // namespace switchyard::plan
