// Training steps of an experiment, one at a time, so that a driver (compare_steps.py) can interleave another program's.
//
//   tapir_step EXPERIMENT.toml THREADS [section.key=value …]
//
// Prints `loaded` when the data are there and the weights are not, and `ready` after two warm-up steps. Then each line `step` on
// standard input takes one step (forward, backward, clipping, optimiser) and prints the milliseconds that it took.
#include <cstdlib>
#include <iostream>

#include "attention/reproduce/tasks/task.h"
#include "nn/train/progress.h"
#include "tensor/threads.h"

using namespace tapir;

int main(int argc, char** argv) try {
  require(argc >= 3, "tapir_step", [] { return "usage: tapir_step EXPERIMENT.toml THREADS [section.key=value …]"; });
  set_threads(std::atoi(argv[2]));
  Experiment experiment = read_experiment(argv[1], {argv + 3, argv + argc});
  const ComputeAs place(experiment);
  const std::unique_ptr<Task> task = make_task(experiment, {}, [](Task&) { std::cout << "loaded" << std::endl; });
  TrainTask loop = task->train_task();
  const std::unique_ptr<nn::Optimiser> optimiser = experiment.optimiser.make(task->model());
  int64_t k = 0;
  const auto step = [&] {
    const double begin = steady_seconds();
    StepLoss loss = accumulate_gradients(loop, *optimiser, k, experiment.train.accumulate, 1);
    apply_gradients(*optimiser, experiment.schedule.at(k++, experiment.train.steps), experiment.train.clip, loss.count);
    loss.effects.commit();
    return 1e3 * (steady_seconds() - begin);
  };
  step();
  step();
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) std::cout << step() << std::endl;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
