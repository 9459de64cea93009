#include "attention/reproduce/tasks/task_row.h"

#include "attention/registry.h"
#include "attention/reproduce/tasks/appliances.h"
#include "attention/reproduce/tasks/function.h"
#include "attention/reproduce/tasks/image.h"
#include "attention/reproduce/tasks/language.h"
#include "attention/reproduce/tasks/operator.h"
#include "attention/reproduce/tasks/picture.h"
#include "attention/reproduce/tasks/segmentation.h"
#include "attention/reproduce/tasks/sequence.h"

namespace tapir {
namespace {

Registry<TaskRow>& registry() {
  static Registry<TaskRow> all = [] {
    std::deque<TaskRow> rows{language_row()};
    for (const std::string& name : sequence_tasks()) rows.push_back(sequence_row(name));
    rows.push_back(function_row());
    rows.push_back(image_row());
    rows.push_back(picture_row());
    rows.push_back(operator_row());
    rows.push_back(segmentation_row());
    rows.push_back(appliances_row());
    return Registry<TaskRow>("task", "task", std::move(rows));
  }();
  return all;
}

}  // namespace

const TaskRow& task_row(const std::string& name) { return registry().at(name); }
std::vector<std::string> task_names() { return registry().names(); }

void add_task(TaskRow row) {
  require(row.options && row.make, "task", [&] { return text("the row '", row.name, "' must have options and make"); });
  nn::require_sound(text("task: ", row.name).c_str(), *row.options(), {"name"});
  if (row.data) nn::require_sound(text("task: ", row.name).c_str(), *row.data(), {});
  registry().add(std::move(row));
}

}  // namespace tapir
