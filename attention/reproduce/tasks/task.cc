#include "attention/reproduce/tasks/task.h"

#include "attention/zoo.h"
#include "nn/train/weights.h"

namespace tapir {
namespace {

// Options that leave something out at random: "dropout", "drop_path", "write_dropout".
struct Drops final : nn::FieldVisitor {
  void operator()(const char*, int64_t&, const char*, const nn::Range&) override {}
  void operator()(const char* key, double& value, const char*, const nn::Range&) override {
    if (std::string(key).find("drop") != std::string::npos && value > 0) keys.emplace_back(key);
  }
  void operator()(const char*, bool&, const char*) override {}
  void operator()(const char*, std::string&, const char*, const nn::Choices&) override {}
  void operator()(const char*, nn::Numbers&, const char*, const nn::Range&) override {}
  void only(bool read, const char*, std::initializer_list<const char*> unread) override {
    for (const char* key : unread)
      if (!read) std::erase(keys, key);
  }

  std::vector<std::string> keys;
};

}  // namespace

ComputeAs::ComputeAs(const Experiment& experiment) : device_(default_device()), precision_(precision()) {
  set_default_device(experiment.device());
  set_precision(experiment.precision());
}

ComputeAs::~ComputeAs() {
  set_default_device(device_);
  set_precision(precision_);
}

std::vector<Task::ShownImage> Task::show_images(int64_t, const nn::Call&) { return {}; }

Task::Digests Task::digests(const std::vector<std::string>&) const { return {}; }

void Task::make_model(const ModelShape& shape) {
  const ModelRow& row = model_row(experiment_.model.name);
  require(row.takes == shape.takes && row.gives == shape.gives, "config: model.name", [&] {
    return text("the task '", experiment_.task.name, "' has ", name_of(shape.takes), " and wants ", name_of(shape.gives),
                ", the model '", row.name, "' takes ", name_of(row.takes), " and gives ", name_of(row.gives));
  });
  model_ = row.make(*experiment_.model.own, shape, [&](const nn::MixerShape& mixer) {
    return mechanism(experiment_.attention.mechanism).make(*experiment_.attention.own, mixer);
  });
}

Task::Results Task::conditions(const std::string& part) const {
  Results all{{"task", experiment_.task.name}, {"part", part}};
  const Results own = comparable(part);
  all.insert(all.end(), own.begin(), own.end());
  all.emplace_back("per", unit());
  return all;
}

std::string Task::seed_decides() const {
  std::string list;
  const auto add = [&](const std::string& what) { list += (list.empty() || what.empty() ? "" : ", ") + what; };
  if (experiment_.run.initial.empty()) add("initial weights");
  Drops drops;
  experiment_.model.fields(drops);
  if (model_row(experiment_.model.name).mixes) experiment_.attention.fields(drops);
  for (const std::string& key : drops.keys) add(key);
  add(drawn());
  return list.empty() ? "nothing" : list;
}

void Task::initialise(bool reads_initial) {
  model().initialise(static_cast<uint64_t>(experiment_.run.seed), experiment_.dtype(), experiment_.device());
  if (reads_initial && !experiment_.run.initial.empty()) load_weights(experiment_.run.initial, model());
}

std::unique_ptr<Task> make_task(Experiment& experiment, const std::filesystem::path& trained,
                                const std::function<void(Task&)>& before) {
  std::unique_ptr<Task> task = task_row(experiment.task.name).make(experiment, trained);
  if (before) before(*task);
  task->initialise(trained.empty());
  return task;
}

}  // namespace tapir
