// What PyTorch needs to run an experiment of tapir: its initial weights and its text.
//
//   golden_export EXPERIMENT.toml FOLDER [section.key=value …]
//
// Writes FOLDER/initial.safetensors and the training and validation words as FOLDER/wikitext-2/wiki.{train,valid}.tokens.
#include <iostream>

#include "attention/reproduce/tasks/language.h"
#include "nn/files/atomic_file.h"
#include "nn/train/weights.h"

using namespace tapir;

int main(int argc, char** argv) try {
  require(argc >= 3, "golden_export", [] { return "usage: golden_export EXPERIMENT.toml FOLDER [section.key=value …]"; });
  Experiment experiment = read_experiment(argv[1], {argv + 3, argv + argc});
  const ComputeAs place(experiment);
  LanguageTask task(experiment);
  const std::filesystem::path folder = argv[2];
  create_folders(folder / "wikitext-2");
  save_weights(folder / "initial.safetensors", task.model());
  write_atomically(folder / "wikitext-2" / "wiki.train.tokens", task.tokenizer().decode(task.corpus().train));
  write_atomically(folder / "wikitext-2" / "wiki.valid.tokens", task.tokenizer().decode(task.corpus().valid));
  const nn::Call none;
  for (const auto& [name, value] : task.train_task().evaluate(none)) std::cout << name << ' ' << value << '\n';
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
