// Settings under which sections have other keys, or read them: every mechanism, task, model and optimiser, and a few values.
#pragma once
#include <string>
#include <vector>

#include "attention/reproduce/tasks/model.h"
#include "attention/reproduce/tasks/task_row.h"
#include "attention/zoo.h"
#include "tensor/error.h"

namespace tapir::testing {

inline std::vector<std::vector<std::string>> variants() {
  std::vector<std::vector<std::string>> all{{}};
  for (const Mechanism& row : zoo()) all.push_back({"attention.mechanism=" + row.name});
  for (const std::string& task : task_names()) all.push_back({"task.name=" + task});
  for (const std::string& model : model_names()) all.push_back({"model.name=" + model});
  for (const char* optimiser : {"adamw", "sgd", "lion", "muon"}) all.push_back({text("optimiser.name=", optimiser)});
  all.push_back({"schedule.shape=wsd"});
  all.push_back({"attention.mechanism=score_mlp", "attention.form=paper"});
  all.push_back({"attention.mechanism=attention_sh", "attention.normalised=true"});
  all.push_back({"task.name=operator", "task.equation=darcy"});
  all.push_back({"task.name=picture", "model.name=implicit", "model.encoding=positional"});
  return all;
}

}  // namespace tapir::testing
