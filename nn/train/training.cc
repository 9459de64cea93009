#include "nn/train/training.h"

#include <algorithm>

#include "autograd/anomaly.h"
#include "autograd/node.h"
#include "autograd/ops/shape.h"
#include "nn/train/weights.h"

namespace tapir {

std::vector<MetricsLine> lines_of(const std::vector<StepNumbers>& steps) {
  if (steps.empty()) return {};
  const NoGrad guard;
  std::vector<Tensor> numbers;
  for (const StepNumbers& one : steps)
    for (const Tensor& number : one.numbers) numbers.push_back(reshape(number, {1}));
  const std::vector<double> values = concat(numbers, 0).values<double>();
  std::vector<MetricsLine> lines;
  auto value = values.begin();
  for (const StepNumbers& one : steps) {
    const double loss = *value++ / static_cast<double>(one.count), norm = *value++;
    lines.push_back({one.step, {{"loss", loss}, {"rate", one.rate}, {"gradient_norm", norm}}});
    for (const std::string& name : one.added) lines.back().values.emplace_back(name, *value++);
  }
  return lines;
}

Training::Training(TrainTask& task, const TrainOptions& options, const nn::Schedule& schedule,
                   const nn::OptimiserOptions& optimiser, uint64_t seed)
    : task_(task), options_(options), schedule_(schedule), seed_(seed), optimiser_(optimiser.make(task.model)) {
  require(task.loss && task.evaluate, "train", [] { return "the task must have loss and evaluate"; });
  if (options.ema > 0) ema_.emplace(task.model, options.ema);
}

StepNumbers Training::compute() try {
  StepLoss loss = accumulate_gradients(task_, *optimiser_, steps_, options_.accumulate, seed_);
  const nn::Optimiser::Clip clip = optimiser_->clip(options_.clip, loss.count);
  const double rate = schedule_.at(steps_, options_.steps);
  StepNumbers step{steps_ + 1, loss.count, rate, {loss.sum, clip.norm}, {}};
  for (const auto& [name, value, weight] : loss.effects.losses()) {
    step.numbers.push_back(value.to(DType::f64));
    step.added.push_back(name);
  }
  computed_ = Computed{rate, clip.scale, std::move(loss.effects)};
  return step;
} catch (const Anomaly& anomaly) {
  throw Anomaly("train", text("step ", steps_ + 1, ": ", anomaly.what()));
}

void Training::apply() {
  optimiser_->step(computed_->rate, computed_->scale);
  computed_->effects.commit();
  computed_.reset();
  if (ema_) ema_->update();
  ++steps_;
}

Metrics Training::evaluate() {
  const NoGrad guard;
  if (ema_) ema_->exchange();
  Metrics all = task_.evaluate({.seed = seed_, .mask = {}, .recorder = {}});
  if (task_.first_samples) {   // "MODULE.gate": the share of a score network's units that are active
    nn::Call call{.seed = seed_, .mask = {}, .recorder = {}, .heard = "gate"};
    call.recorder = [&](const std::string& path, const std::string& name, const Tensor& value) {
      all.emplace_back(path + '.' + name, value.item());
    };
    task_.first_samples(call);
  }
  if (ema_) ema_->exchange();
  require(!all.empty() && all[0].first == "validation_loss", "train",
          [] { return "the task's evaluate() must give validation_loss first"; });
  const std::string& metric = task_.objective.metric;
  require(std::any_of(all.begin(), all.end(), [&](const auto& one) { return one.first == metric; }), "train",
          [&] { return text("the task's objective is ", metric, ", which its evaluate() does not give"); });
  return all;
}

void Training::take_averages() {
  if (ema_) ema_->exchange();
}

Checkpoint Training::state() const {
  Checkpoint checkpoint{.step = steps_, .tensors = {}, .state = {{"identity", task_.identity}, {"seed", text(seed_)}}};
  task_.model.each_parameter([&](const std::string& name, nn::Parameter& parameter) {
    checkpoint.tensors.push_back({"model/" + name, parameter.value.detach()});
  });
  for (const auto& [name, tensor] : optimiser_->state()) checkpoint.tensors.push_back({"optimiser/" + name, tensor});
  if (ema_)
    for (const auto& [name, tensor] : ema_->state()) checkpoint.tensors.push_back({"ema/" + name, tensor});
  task_.model.each_buffer([&](const std::string& name, nn::Buffer& buffer) {
    checkpoint.tensors.push_back({"model/" + name, buffer.value});
  });
  return checkpoint;
}

void Training::restore(const Checkpoint& checkpoint) {
  require(state_entry(checkpoint, "identity") == task_.identity, "resume",
          [&] { return text("the checkpoint of step ", checkpoint.step, " belongs to another experiment"); },
          "a run goes on with the settings that it was started with, and with a version that has the same ones");
  assign_weights("resume", task_.model, tensors_under(checkpoint, "model/"));
  assign("resume", optimiser_->state(), tensors_under(checkpoint, "optimiser/"));
  if (ema_) assign("resume", ema_->state(), tensors_under(checkpoint, "ema/"));
  optimiser_->set_steps(checkpoint.step);
  steps_ = checkpoint.step;
}

const std::string& state_entry(const Checkpoint& checkpoint, const std::string& key) {
  const auto found = checkpoint.state.find(key);
  require(found != checkpoint.state.end(), "resume",
          [&] { return text("the checkpoint of step ", checkpoint.step, " lacks '", key, "'"); });
  return found->second;
}

}  // namespace tapir
