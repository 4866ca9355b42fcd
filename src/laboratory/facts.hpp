// Generator T2, facts of limited capacity: N facts, each a random key and one of V answers, all alike. Nothing can be
// predicted, all must be stored: what experts lose tells how many bits a parameter holds, and where more experts are of
// no use any more.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace switchyard::laboratory {

struct Facts {
  static constexpr int dimension = 32;  ///< of a key
  int facts = 4096;                     ///< N
  int values = 64;                      ///< V
  std::uint64_t seed = 1;

  /// Key of a fact: standard normal numbers (dimension).
  void key(int fact, float* out) const;
  /// In [0, V), uniform.
  int answer(int fact) const;
};

/// Hash routing: facts of each expert, drawn, as many for each as whole facts allow. Throws Error{usage} for no
/// experts or more than facts.
std::vector<std::vector<int>> hash_parts(const Facts& facts, int experts);

struct FactsOptions {
  std::string folder;    ///< of generated facts
  int hidden = 16;       ///< of an expert: key → hidden ReLU → answers
  int exposures = 1000;  ///< of each fact
  double rate = 0.0;     ///< of Adam, falling to 0 from the middle on; 0 takes 0.016 / √hidden
};

struct FactsOutcome {
  int facts;
  double density;  ///< ρ = N / (E · P), facts a parameter; P = (32 + 1 + V) · hidden parameters an expert
  double loss;     ///< mean over all facts, nat
  double ideal;    ///< capacity_loss(V, ρ)
};

/// Loss of experts that hold c bits a parameter and guess the rest: max(0, ln V − c · ln 2 / ρ), nat a fact. The
/// constant c = 1.6 is a calibration (measured well above capacity), not a bound.
double capacity_loss(int values, double density);

/// Trains an expert after the other, each on its own facts: with hash routing they are independent. Throws
/// Error{usage}.
FactsOutcome run_facts(const FactsOptions& options, int experts);

}  // namespace switchyard::laboratory
