// What PyTorch needs to run an experiment of tapir: its initial weights and its data.
//
//   golden_export EXPERIMENT.toml FOLDER [section.key=value …]
//
// Writes FOLDER/initial.safetensors. Of text: the training and validation words as FOLDER/wikitext-2/wiki.{train,valid}.tokens.
// Of images: the batch of each step in FOLDER/batches.safetensors, pixels (steps,B,H,W,Q) and labels (steps,B), and what the run
// would keep of them, FOLDER/images.json.
#include <iostream>

#include "attention/reproduce/tasks/image.h"
#include "attention/reproduce/tasks/language.h"
#include "nn/files/atomic_file.h"
#include "nn/files/safetensors.h"
#include "nn/train/weights.h"

using namespace tapir;

namespace {

void export_text(const LanguageTask& task, const std::filesystem::path& folder) {
  create_folders(folder / "wikitext-2");
  write_atomically(folder / "wikitext-2" / "wiki.train.tokens", task.tokenizer().decode(task.corpus().train));
  write_atomically(folder / "wikitext-2" / "wiki.valid.tokens", task.tokenizer().decode(task.corpus().valid));
}

void export_images(const ImageTask& task, int64_t steps, const std::filesystem::path& folder) {
  ImageBatch all = task.training().batch(0);
  require(all.shares.empty(), "golden_export", [] { return "mixed images have no label"; });
  for (int64_t k = 1; k < steps; ++k) {
    const ImageBatch own = task.training().batch(k);
    all.pixels.insert(all.pixels.end(), own.pixels.begin(), own.pixels.end());
    all.labels.insert(all.labels.end(), own.labels.begin(), own.labels.end());
  }
  task.save(folder);
  const Shape shape{steps, all.rows, all.height, all.width, all.channels};
  save_safetensors(folder / "batches.safetensors", {{"pixels", Tensor::from(all.pixels, shape, Device::cpu)},
                                                    {"labels", Tensor::from(all.labels, {steps, all.rows}, Device::cpu)}});
}

}  // namespace

int main(int argc, char** argv) try {
  require(argc >= 3, "golden_export", [] { return "usage: golden_export EXPERIMENT.toml FOLDER [section.key=value …]"; });
  Experiment experiment = read_experiment(argv[1], {argv + 3, argv + argc});
  const ComputeAs place(experiment);
  const std::unique_ptr<Task> task = make_task(experiment);
  const std::filesystem::path folder = argv[2];
  create_folders(folder);
  save_weights(folder / "initial.safetensors", task->model());
  if (const auto* const text = dynamic_cast<const LanguageTask*>(task.get())) export_text(*text, folder);
  if (const auto* const images = dynamic_cast<const ImageTask*>(task.get()))
    export_images(*images, experiment.train.steps, folder);
  const nn::Call none;
  for (const auto& [name, value] : task->train_task().evaluate(none)) std::cout << name << ' ' << value << '\n';
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
