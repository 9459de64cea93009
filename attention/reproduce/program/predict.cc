// tapir predict
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/run_folder.h"
#include "attention/reproduce/program/streams.h"
#include "attention/reproduce/tasks/image.h"
#include "datasets/text/text_file.h"

namespace tapir {

int run_predict(const std::filesystem::path& folder, const std::vector<std::filesystem::path>& files, int64_t top,
                const std::string& device, bool json) {
  const std::unique_ptr<OpenRun> run = open_run(folder, device);
  auto* const images = dynamic_cast<ImageTask*>(run->task.get());
  require(images, "predict",
          [&] { return text(folder.string(), " has learned the task '", run->experiment.task.name, "', not images"); });
  const std::vector<std::string>& classes = images->description().classes;
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  for (const std::filesystem::path& file : files) {
    const std::vector<double> probabilities = images->predict(decode_image(read_file(file), file.string()));
    std::vector<size_t> order(classes.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return probabilities[a] > probabilities[b]; });
    order.resize(std::min(order.size(), static_cast<size_t>(top)));
    std::string line;
    nlohmann::ordered_json likeliest = nlohmann::ordered_json::array();
    for (const size_t k : order) {
      line += fmt::format("{}{} {:.3f}", line.empty() ? "" : ", ", classes[k], probabilities[k]);
      likeliest.push_back({{"class", classes[k]}, {"probability", probabilities[k]}});
    }
    if (json) all.push_back({{"file", file.string()}, {"classes", likeliest}});
    else fmt::print("{}: {}\n", file.string(), line);
  }
  if (json) print_json({{"weights", run->weights}, {"images", all}});
  return 0;
}

}  // namespace tapir
