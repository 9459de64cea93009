#include "tests/mechanisms/certificate.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>

#include "autograd/backward.h"
#include "tensor/arena.h"
#include "tensor/dry_run.h"
#include "tests/golden_file.h"
#include "tests/mechanisms/distance.h"
#include "tests/mechanisms/subject.h"

namespace tapir {
namespace {

constexpr uint64_t seed = 1;

std::string digits(double error) {
  char text[16];
  std::snprintf(text, sizeof text, "%.1e", error);
  return text;
}

std::string code(const std::string& keys) {   // lines of TOML in one line
  std::string line = keys;
  for (size_t end; (end = line.find('\n')) != std::string::npos;) line.replace(end, 1, "`, `");
  return line.empty() ? "" : '`' + line + '`';
}

Distance from_records(const std::string& name) {
  Distance worst;
  static const nlohmann::json golden = golden_file("mechanisms.json");
  for (const nlohmann::json& one : golden["cases"])
    if (one["mechanism"] == name) worst.take(from_recorded(one));
  return worst;
}

Distance from_loops(const Oracle& oracle) {
  Distance worst;
  for (const std::string& keys : oracle.variants) worst.take(from_scalar_loops(oracle, *options_of(oracle.mechanism, keys)));
  return worst;
}

std::string row_of(const std::string& oracle, const Distance& distance) {
  return text("| ", oracle, " | ", distance.comparisons, " | ", digits(distance.forward.error), " | ",
              digits(distance.gradient.error), " |\n");
}

// ---- claims

std::set<std::string> claims_of(const Mechanism& row, const nn::Options& options) {
  const Claims claims = row.claims(options);
  std::set<std::string> all;
  for (const auto& [name, made] : all_claims)
    if (claims.*made) all.insert(name);
  return all;
}

// The row, claiming everything.
Mechanism boasting(Mechanism row) {
  Claims all;
  for (const auto& named : all_claims) all.*named.second = true;
  row.claims = always(all);
  return row;
}

struct Refutation {
  std::string claim, keys, evidence;
  bool refuted;
};

// Of the claims that a row does not make for these options, but for those in `known`.
std::vector<Refutation> refutations(const Mechanism& row, const std::string& keys, const std::set<std::string>& known,
                                    std::vector<NamedTensor>& tensors) {
  const std::unique_ptr<nn::Options> options = options_of(row.name, keys);
  const std::set<std::string> made = claims_of(row, *options);
  std::vector<Refutation> all;
  for (const Proof& proof : prove(boasting(row), *options, seed)) {
    const bool is_claim = std::any_of(std::begin(all_claims), std::end(all_claims),
                                      [&](const auto& named) { return proof.claim == named.first; });
    if (!is_claim || made.contains(proof.claim) || known.contains(proof.claim)) continue;
    const std::string prefix = proof.claim + ": ";   // of an error
    all.push_back({proof.claim, keys, proof.evidence.substr(proof.evidence.starts_with(prefix) ? prefix.size() : 0), !proof.holds});
    if (proof.claim == "linear") continue;   // counts: whatever the tokens are
    for (const auto& [name, tensor] : proof.counter_example)
      tensors.push_back({proof.claim + "; " + (keys.empty() ? "" : keys + "; ") + name, tensor});
  }
  return all;
}

std::vector<Refutation> all_refutations(const Mechanism& row, std::vector<NamedTensor>& tensors) {
  const std::set<std::string> made = claims_of(row, *row.options());
  std::set<std::string> missing;   // for the defaults
  for (const auto& named : all_claims)
    if (!made.contains(named.first)) missing.insert(named.first);
  std::vector<Refutation> all = refutations(row, "", {}, tensors);
  if (!oracles().contains(row.name)) return all;
  for (const Rule& rule : oracles().at(row.name).rules)
    for (const std::string& value : rule.values) {
      const std::string keys = rule.key + " = " + value + (rule.with.empty() ? "" : '\n' + rule.with);
      if (claims_of(row, *options_of(row.name, keys)) == made) continue;
      for (Refutation& one : refutations(row, keys, missing, tensors)) all.push_back(std::move(one));
    }
  return all;
}

// ---- mutants

struct Mutants {
  int all = 0, noticed = 0, equivalent = 0;
};

// Lines of `folder`/mutants.txt: source, mutants, noticed, equivalent.
Mutants mutants_of(const std::string& source, const std::filesystem::path& folder) {
  std::ifstream file(folder / "mutants.txt");
  Mutants found;
  for (std::string line, first; std::getline(file, line);) {
    std::istringstream fields(line);
    if (fields >> first && first == source) fields >> found.all >> found.noticed >> found.equivalent;
  }
  return found;
}

// The file of attention/mechanisms/ that has the row.
std::string source_of(const std::string& name) {
  for (const auto& file : std::filesystem::directory_iterator(TAPIR_SOURCE_DIR "/attention/mechanisms")) {
    std::ifstream in(file.path());
    std::ostringstream contents;
    contents << in.rdbuf();
    if (file.path().extension() == ".cc" && contents.str().find("Mechanism " + name + "_row()") != std::string::npos)
      return file.path().filename();
  }
  throw Error("certificate", "no file of attention/mechanisms has the row " + name);
}

// ---- costs

std::string cost_rows(const Mechanism& row, bool linear) {
  const Mechanism& vaswani = mechanism("dot_product");
  std::string rows;
  for (int64_t tokens = 1024; tokens <= (linear ? 16384 : 4096); tokens *= 2) {
    const Cost own = cost_of(row, *row.options(), tokens), other = cost_of(vaswani, *vaswani.options(), tokens);
    char line[160];
    std::snprintf(line, sizeof line, "| %lld | %.4g · 10⁹ | %.3f | %.4g MiB | %.3f |\n", static_cast<long long>(tokens),
                  static_cast<double>(own.operations) * 1e-9,
                  static_cast<double>(own.operations) / static_cast<double>(other.operations),
                  static_cast<double>(own.bytes) / (1 << 20),
                  static_cast<double>(own.bytes) / static_cast<double>(other.bytes));
    rows += line;
  }
  return rows;
}

}  // namespace

Cost cost_of(const Mechanism& row, const nn::Options& options, int64_t tokens) {
  const MixerShape shape{.width = 256, .heads = 4, .length = tokens};
  const std::unique_ptr<nn::TokenMixer> mixer = row.make(options, shape);
  const Rehearsal rehearsal(default_device());
  mixer->initialise(seed, DType::f32);
  std::vector<Tensor> leaves{requires_grad(Tensor::zeros({1, tokens, shape.width}))};
  for (const auto& [name, parameter] : parameters_of(*mixer)) leaves.push_back(parameter->value);
  const Tensor x = leaves.front(), g = Tensor::zeros(x.shape());
  nn::Call call;
  call.mask.causal = row.claims(options).causal;
  Arena& arena = Arena::of(default_device());
  arena.reset_peak();
  const int64_t before = arena.statistics().peak;
  grad({nn::after_feed_forward(*mixer, mixer->forward(x, x, call), call)}, leaves, {g});
  Cost cost{0, arena.statistics().peak - before};
  for (const auto& own : rehearsal.operations()) cost.operations += own.second;
  return cost;
}

Certificate certificate_of(const Mechanism& row, const std::filesystem::path& folder) {
  Certificate certificate;
  std::string& page = certificate.page;
  const std::unique_ptr<nn::Options> options = row.options();
  const Claims claims = row.claims(*options);

  page = text("# ", row.name, ": certificate\n\n", row.title, ", ", row.paper, ": `", row.equation, "`. What it is: [", row.name,
              "](../attention/", row.name, ".md); how to read this page: [Certificates](README.md).\n\n");
  page += "## Distance from its oracles\n\n| oracle | comparisons | output | gradients |\n|---|---|---|---|\n";
  const Distance recorded = from_records(row.name);
  Distance loops;
  if (claims.exact) {
    const Oracle& oracle = oracles().at(row.name);
    loops = from_loops(oracle);
    page += row_of(text("scalar loops, [", oracle.file, "](../../tests/mechanisms/", oracle.file, ")"), loops);
  }
  page += row_of("PyTorch in float64, [mechanisms.py](../../tests/golden/mechanisms.py)", recorded);

  page += "\n## Claims that hold\n\n| claim | what was seen |\n|---|---|\n";
  int held = 0;
  for (const Proof& proof : prove(row, *options, seed)) {
    page += text("| ", proof.claim, " | ", proof.holds ? "" : "**does not hold**: ", proof.evidence, " |\n");
    held += proof.holds;
  }

  page += "\n## Claims that it does not make\n\n| claim | with | counter-example |\n|---|---|---|\n";
  int refuted = 0;
  for (const Refutation& one : all_refutations(row, certificate.counter_examples)) {
    page += text("| ", one.claim, " | ", code(one.keys), " | ", one.refuted ? "" : "none found: ", one.evidence, " |\n");
    refuted += one.refuted;
  }
  if (!certificate.counter_examples.empty())
    page += text("\nTokens and parameters of each: [", row.name, ".safetensors](", row.name, ".safetensors).\n");

  const std::string source = source_of(row.name);
  const Mutants mutants = mutants_of(source, folder);
  page += text("\n## Mutants\n\nOf [", source, "](../../attention/mechanisms/", source, "): ");
  page += mutants.all == 0 ? "none that was counted"
                           : text(mutants.all, ", of which the tests notice ", mutants.noticed, "; ", mutants.equivalent,
                                  " are equivalent, ", mutants.all - mutants.noticed - mutants.equivalent, " survive");
  page += ".\n";

  page += text("\n## Cost\n\n| tokens | operations | of `dot_product`'s | memory | of `dot_product`'s |\n|---|---|---|---|---|\n",
               cost_rows(row, claims.linear));
  certificate.line = text("| [", row.name, "](", row.name, ".md) | ", claims.exact ? digits(loops.forward.error) : "", " | ",
                          claims.exact ? digits(loops.gradient.error) : "", " | ", digits(recorded.forward.error), " | ",
                          digits(recorded.gradient.error), " | ", held, " | ", refuted, " | ", mutants.noticed, " of ",
                          mutants.all - mutants.equivalent, " |\n");
  return certificate;
}

}  // namespace tapir
