#include "attention/reproduce/program/experiment.h"

#include <sstream>

#include "datasets/text/utf8.h"
#include "tensor/sha256.h"

namespace tapir {
namespace {

// The sections of an experiment in the order in which they are written.
template <class Visit>
void each_section(Experiment& experiment, const Visit& visit) {
  visit("run", experiment.run);
  visit("task", experiment.task);
  if (experiment.task.name == "language") visit("data", experiment.data);
  visit("model", experiment.model);
  visit("attention", experiment.attention);
  visit("train", experiment.train);
  visit("schedule", experiment.schedule);
  visit("optimiser", experiment.optimiser);
}

std::string written(Experiment& experiment) {
  std::ostringstream out;
  each_section(experiment, [&](const char* section, nn::Options& options) {
    out << '[' << section << "]\n" << section_of(options) << "\n\n";
  });
  return out.str();
}

}  // namespace

void TaskOptions::fields(nn::FieldVisitor& visit) {
  nn::Choices names = sequence_tasks();
  names.insert(names.begin(), "language");
  visit("name", name, "what is learned: the next token of the text of [data], or a generated sequence task", names);
  if (name == "language") return;
  sequence.task = name;
  if (name != "parity") visit("symbols", sequence.symbols, "N, how many symbols there are", nn::between(2, 1 << 20));
  if (name == "nt") visit("delay", sequence.delay, "τ, tokens from the older summand to the sum", nn::between(1, 1 << 20));
  visit("size", sequence.size, "n, of training sequences: tokens; of recall: pairs; of copy: symbols",
        nn::between(1, 1 << 20));
  visit("longer", longer, "a second size to evaluate at, as a test of extrapolation; 0: none", nn::between(0, 1 << 20));
  visit("evaluated", evaluated, "sequences of an evaluation, in whole batches", nn::between(1, 1e9));
}

void DataOptions::fields(nn::FieldVisitor& visit) {
  std::string path = spec.path.string();
  visit("kind", spec.kind, "the corpus", {"wikitext-2", "wikitext-103", "file", "generated"});
  visit("path", path, "of the kind \"file\": a text file, or a folder with train.txt, valid.txt, test.txt", {});
  visit("tokens", spec.tokens, "what a token is", {"word", "character", "bpe", "gpt2"});
  visit("max_types", spec.max_types, "size of the vocabulary, the most frequent types stay; 0: all; needed for bpe",
        nn::between(0, 1e9));
  visit("train_tokens", spec.limits.train, "tokens of the training part that are used; 0: all", nn::between(0, 1e12));
  visit("valid_tokens", spec.limits.valid, "of the validation part", nn::between(0, 1e12));
  visit("test_tokens", spec.limits.test, "of the test part", nn::between(0, 1e12));
  spec.path = path;
}

void AttentionOptions::fields(nn::FieldVisitor& visit) {
  visit("mechanism", mechanism, "a name that `tapir zoo` lists", {});
  if (!own) own = tapir::mechanism(mechanism).options();
  own->fields(visit);
}

Precision Experiment::precision() const {
  return run.precision == "tf32" ? Precision::tf32 : run.precision == "bf16" ? Precision::bf16 : Precision::f32;
}

std::string Experiment::toml() { return written(*this); }

std::string Experiment::identity() {
  const RunOptions own = run;
  run.name = "";
  run.device = RunOptions().device;
  const std::string digest = sha256_hex(written(*this));
  run = own;
  return digest;
}

Experiment resolve(const toml::table& config) {
  Experiment experiment;
  std::vector<std::string> sections;
  each_section(experiment, [&](const char* section, nn::Options& options) {
    sections.push_back(section);
    read_section(config, section, options);
  });
  require_sections(config, sections);
  require(experiment.train.batch % experiment.train.accumulate == 0, "config: train.accumulate",
          [&] { return text(experiment.train.accumulate, " does not divide train.batch, ", experiment.train.batch); });
  require(experiment.precision() == Precision::f32 || experiment.dtype() == DType::f32, "config: run.precision",
          [&] { return text("products in f64 are not rounded, found '", experiment.run.precision, "'"); },
          "set run.dtype to f32, or run.precision to f32");
  return experiment;
}

Experiment read_experiment(const std::filesystem::path& file, const std::vector<std::string>& assignments) {
  toml::table config = read_config(file);
  set_values(config, assignments);
  Experiment experiment = resolve(config);
  if (!config["run"]["name"]) experiment.run.name = replace_invalid_utf8(file.stem().string());
  return experiment;
}

}  // namespace tapir
