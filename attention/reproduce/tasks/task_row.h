// Tasks as rows: what is learned from which data. Commands know the table, not the tasks.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nn/fields.h"

namespace tapir {

struct Experiment;
class Task;

struct TaskRow {
  std::string name;    // [task] name
  std::string title;
  std::function<std::unique_ptr<nn::Options>()> options;   // the other keys of [task]
  std::function<std::unique_ptr<nn::Options>()> data{};    // the keys of [data]; empty: there is no such section
  // Assignments to [data], beside data.path, with which the run in a folder reads what a user has at a place; empty: the task
  // takes no such data.
  std::function<std::vector<std::string>(const std::filesystem::path& place, const std::filesystem::path& run)> own_data{};
  // With a model, but without weights. `trained`: the folder of a run, which has what the task saved there; empty: a new run.
  std::function<std::unique_ptr<Task>(Experiment& experiment, const std::filesystem::path& trained)> make;
};

const TaskRow& task_row(const std::string& name);   // throws Error that lists those that exist
std::vector<std::string> task_names();
// Throws Error if the name is taken or is none (registry.h), something of the row is empty, or an option's key or default is
// not allowed.
void add_task(TaskRow row);

}  // namespace tapir
