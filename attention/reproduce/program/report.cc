// tapir report
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "attention/reproduce/program/arms.h"
#include "attention/reproduce/program/commands.h"
#include "attention/reproduce/program/digests.h"
#include "attention/reproduce/program/environment.h"
#include "attention/reproduce/program/image_maps.h"
#include "attention/reproduce/program/named_runs.h"
#include "attention/reproduce/program/run_folder.h"
#include "attention/reproduce/program/statistics.h"
#include "attention/reproduce/program/streams.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/shape.h"
#include "datasets/image/resize.h"
#include "nn/files/atomic_file.h"
#include "nn/train/finite.h"

namespace tapir {

extern const char* const report_template;   // report.html

namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t most_points = 2000;   // of a curve: of longer ones every second, third, … is kept, and the last
constexpr int64_t most_tokens = 32;     // of an attention map
constexpr int64_t most_images = 8;
constexpr int64_t most_side = 192;      // of an image, twice what a page gives it

// {"name": {"step": […], "value": […]}, …} of all numbers of a log.
Json curves_of(const std::vector<MetricsLine>& lines) {
  Json all = Json::object();
  for (const MetricsLine& line : lines)
    for (const auto& value : line.values) {
      if (std::holds_alternative<std::string>(value.second)) continue;
      all[value.first]["step"].push_back(line.step);
      all[value.first]["value"].push_back(line.number(value.first));
    }
  for (Json& curve : all) {
    const auto points = static_cast<int64_t>(curve["step"].size()), stride = (points + most_points - 1) / most_points;
    Json thinned = {{"step", Json::array()}, {"value", Json::array()}};
    for (int64_t k = 0; k < points; ++k) {
      if (k % stride != 0 && k != points - 1) continue;
      for (const char* name : {"step", "value"}) thinned[name].push_back(curve[name][k]);
    }
    curve = std::move(thinned);
  }
  return all;
}

// One layer's weights (1,H,T,S): {"path": …, "signed": whether some are negative, "heads": [{"entropy": …, "uniform": …,
// "rows": [[thousandths, …], …]}, …]}.
Json layer_of(const std::string& path, const Tensor& weights) {
  require_finite(path, "attention weights", weights);
  const int64_t queries = weights.size(2), keys = weights.size(3);
  Json heads = Json::array();
  for (int64_t head = 0; head < weights.size(1); ++head) {
    // One head at a time: 4,096 × 4,096 weights are 128 MiB so.
    const std::vector<double> own = slice(weights, 1, head, 1).to(DType::f64).values<double>();
    const Entropy entropy = entropy_of(own, keys);
    Json rows = Json::array();
    for (int64_t t = 0; t < std::min(queries, most_tokens); ++t) {
      Json row = Json::array();
      for (int64_t s = 0; s < std::min(keys, most_tokens); ++s) row.push_back(std::llround(1000 * own[t * keys + s]));
      rows.push_back(std::move(row));
    }
    heads.push_back({{"entropy", entropy.mean}, {"uniform", entropy.uniform}, {"rows", std::move(rows)}});
  }
  return {{"path", path}, {"signed", min(weights).item() < 0}, {"heads", std::move(heads)}};
}

// {"weights": which, "tokens": […], "layers": […]} of a held-out example. Throws Error where there is nothing to show.
Json attention_of(const std::filesystem::path& folder, OpenRun& run) {
  const TrainTask task = run.task->train_task();
  require(task.show != nullptr, folder.string(), [] { return "its task has no example whose attention could be shown"; });
  Json layers = Json::array();
  nn::Call call;
  call.recorder = [&](const std::string& path, const std::string& name, const Tensor& value) {
    if (name == "weights" && value.rank() == 4) layers.push_back(layer_of(path, value));
  };
  std::vector<std::string> tokens = task.show(call);
  require(!layers.empty(), folder.string(), [] { return "its mechanism records no weights"; });
  tokens.resize(std::min(tokens.size(), static_cast<size_t>(most_tokens)));
  return {{"weights", run.weights}, {"tokens", tokens}, {"layers", std::move(layers)}};
}

// The image, with no more pixels than a page shows.
Task::ShownImage shrunk(Task::ShownImage image) {
  const int64_t side = std::max(image.height, image.width);
  if (side <= most_side) return image;
  const auto less = [side](int64_t extent) { return std::max<int64_t>(1, extent * most_side / side); };
  DecodedImage small = resized({image.height, image.width, std::move(image.pixels)}, less(image.height), less(image.width));
  image.height = small.height;
  image.width = small.width;
  image.pixels = std::move(small.pixels);
  return image;
}

// Of what is read of the cells of images, (n,H,cells): [[map of each image], …], a list for each head. A map has thousandths of
// its largest value; where values have any sign, of their sizes.
Json maps_of(const Tensor& read) {
  const std::vector<double> all = read.to(DType::f64).values<double>();
  const int64_t images = read.size(0), heads = read.size(1), cells = read.size(2);
  Json maps = Json::array();
  for (int64_t head = 0; head < heads; ++head) {
    Json of_head = Json::array();
    for (int64_t n = 0; n < images; ++n) {
      const std::span<const double> own(&all[(n * heads + head) * cells], cells);
      double most = 0;
      for (const double value : own) most = std::max(most, std::abs(value));
      Json map = Json::array();
      for (const double value : own) map.push_back(most > 0 ? std::llround(1000 * std::abs(value) / most) : 0);
      of_head.push_back(std::move(map));
    }
    maps.push_back(std::move(of_head));
  }
  return maps;
}

// Held-out images, how well they are told apart, and where the model looks: {"images": [{"height", "width", "pixels": […],
// "label", "likeliest": [[class, probability], …]}, …], "results": [[name, of the validation part], …], "classes": […],
// "confusion": [counts of each label's guesses, …], "found": [interval of the share of each class that is found, …], "rows",
// "columns", "layers": [{"path", "signed": whether some weights are negative, "heads": [[map of each image], …]}, …],
// "rollout": [map of each image], or "no_rollout": why not}. Null where the task has no images; where it has no classes there
// is no rollout, and nothing to say of it.
Json images_of(OpenRun& run) {
  Json layers = Json::array();
  std::string no_rollout;
  Tensor product;
  ImageGrid grid;
  nn::Call call;
  call.recorder = [&](const std::string& path, const std::string& name, const Tensor& value) {
    if (name == "grid") {
      const std::vector<int32_t> extents = value.values<int32_t>();
      grid = {extents[0], extents[1], extents[2]};
    }
    if (name != "weights" || value.rank() != 4 || grid.cells() == 0) return;
    require_finite(path, "attention weights", value);
    layers.push_back({{"path", path}, {"signed", min(value).item() < 0}, {"heads", maps_of(read_from_cells(value, grid))}});
    if (no_rollout.empty() && !are_distributions(value))
      no_rollout = text("rows of weights of ", path, " are no distributions");
    if (no_rollout.empty()) product = rolled_out(product, value);
  };
  const std::vector<Task::ShownImage> shown = run.task->show_images(most_images, call);
  if (shown.empty()) return nullptr;
  const Task::Evaluation valid = run.task->evaluate_part("valid");
  const Confusion& confusion = valid.confusion;
  Json all = {{"images", Json::array()}, {"results", valid.results}, {"classes", confusion.classes},
              {"confusion", confusion.counts}, {"found", Json::array()}, {"rows", grid.rows}, {"columns", grid.columns}};
  for (size_t k = 0; k < confusion.classes.size(); ++k)
    all["found"].push_back(ends_of(wilson(confusion.counts[k][k], confusion.labelled(k))));
  for (const Task::ShownImage& whole : shown) {
    const Task::ShownImage one = shrunk(whole);
    all["images"].push_back({{"height", one.height}, {"width", one.width}, {"pixels", one.pixels}, {"label", one.label},
                             {"likeliest", one.likeliest}});
  }
  if (layers.empty() && !confusion.empty()) no_rollout = "no layer has weights over one grid of tokens";
  if (!no_rollout.empty()) all["no_rollout"] = no_rollout;
  else if (product.defined()) all["rollout"] = maps_of(read_from_cells(stack({product}, 1), grid))[0];
  all["layers"] = std::move(layers);
  return all;
}

// What is shown of held-out data, each of it {"missing": why} where it cannot be, which is told. `finite` becomes false where
// something is not.
struct HeldOut {
  Json attention, images;
};

HeldOut held_out_of(const std::filesystem::path& folder, const std::string& device, bool& finite) {
  const auto shown = [&](const char* what, const auto& show) -> Json {
    try {
      return show();
    } catch (const Error& error) {
      if (dynamic_cast<const NotFinite*>(&error)) finite = false;
      note(text("no ", what, ": ", error.what()));
      return {{"missing", error.what()}};
    }
  };
  std::unique_ptr<OpenRun> run;
  HeldOut all;
  all.attention = shown("attention maps", [&] {
    std::unique_ptr<OpenRun> opened = open_run(folder, device);
    require_kept(folder, opened->task->digests({"valid"}), "put back the data of the training");
    run = std::move(opened);
    return attention_of(folder, *run);
  });
  if (run) all.images = shown("images", [&] { return images_of(*run); });
  return all;
}

// Keys of the experiments whose values are not the same in all arms: [{"key": …, "values": [one for each arm]}, …].
Json differences_of(const std::vector<Arm>& arms) {
  std::set<std::string> keys;
  for (const Arm& arm : arms)
    for (const auto& setting : arm.runs.front().settings) keys.insert(setting.first);
  Json rows = Json::array();
  for (const std::string& key : keys) {
    if (key == "run.name" || key == "run.seed") continue;
    Json values = Json::array();
    for (const Arm& arm : arms) {
      const auto found = arm.runs.front().settings.find(key);
      values.push_back(found == arm.runs.front().settings.end() ? Json() : Json(found->second));
    }
    if (std::set<Json>(values.begin(), values.end()).size() > 1) rows.push_back({{"key", key}, {"values", values}});
  }
  return rows;
}

// Curves and attention of the runs of a group; "arm" is an index in it.
Json runs_of(const Group& group, const std::string& device, bool& finite) {
  Json runs = Json::array();
  for (size_t k = 0; k < group.arms.size(); ++k)
    for (const RunRecord& run : group.arms[k].runs) {
      const Json costs = curves_of(read_metrics(run.folder / "costs.jsonl"));
      Json seconds = {{"step", Json::array()}, {"seconds", Json::array()}};
      if (costs.contains("seconds"))
        seconds = {{"step", costs["seconds"]["step"]}, {"seconds", costs["seconds"]["value"]}};
      HeldOut held_out = held_out_of(run.folder, device, finite);
      runs.push_back({{"label", group.arms[k].label},
                      {"arm", k},
                      {"seed", text(run.seed)},   // a number of a page is a double
                      {"curves", curves_of(run.metrics)},
                      {"costs", std::move(seconds)},
                      {"attention", std::move(held_out.attention)},
                      {"images", std::move(held_out.images)}});
    }
  return runs;
}

Json data_of(const std::vector<Group>& groups, const std::string& device, bool& finite) {
  Json all = comparison_json(groups, {});
  std::vector<std::filesystem::path> folders;
  for (size_t k = 0; k < groups.size(); ++k) {
    Json& group = all["groups"][k];
    for (Json& arm : group["arms"])
      for (Json& run : arm["runs"]) run["seed"] = text(run["seed"]);
    if (groups[k].wider) continue;   // its runs are shown where they stand first
    group["differences"] = differences_of(groups[k].arms);
    group["runs"] = runs_of(groups[k], device, finite);
    for (const Arm& arm : groups[k].arms)
      for (const RunRecord& run : arm.runs) folders.push_back(run.folder);
  }
  all["made"] = makers_of(folders);
  return all;
}

// Verdicts and joint statements of the page, a line each; where the page itself is standard output they stay out of it.
void tell_verdicts(const std::vector<Group>& groups, const std::filesystem::path& page) {
  std::error_code none;
  const bool taken = std::filesystem::equivalent(page, "/dev/stdout", none);
  const auto tell = [&](const std::string& line) { taken ? note(line) : fmt::print("{}\n", line); };
  for (const Group& group : groups)
    for (const Arm& arm : group.arms)
      if (arm.difference) tell(text(group.title, group.title.empty() ? "" : ": ", arm.difference->verdict));
  for (const Joint& joint : joint_statements(groups)) tell(joint.statement);
}

// The JSON as it may stand in a script element: without "<" no text in it can end the element.
std::string script_text(const Json& json) {
  std::string out;
  for (const char c : json.dump(-1, ' ', false, Json::error_handler_t::replace))
    if (c == '<') out += "\\u003c";
    else out += c;
  return out;
}

// A page may take the place of another one, and of nothing else.
void require_report_or_nothing(const std::filesystem::path& out) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(out, ignored) || std::filesystem::file_size(out, ignored) == 0) return;
  const std::string first_line(report_template, std::strchr(report_template, '\n'));
  std::string found(first_line.size(), ' ');
  std::ifstream(out).read(found.data(), static_cast<std::streamsize>(found.size()));
  require(found == first_line, out.string(), [] { return "is a file that no report is in"; }, "name another one with --out");
}

}  // namespace

int run_report(const std::vector<std::filesystem::path>& paths, const std::filesystem::path& out, const std::string& device) {
  require_report_or_nothing(out);
  std::vector<RunRecord> records;
  for (const std::filesystem::path& folder : named_runs(paths)) records.push_back(read_record(folder));
  const size_t count = records.size();
  std::string page = report_template;
  const std::string place = "@DATA@";
  const std::vector<Group> groups = groups_of(std::move(records));
  bool finite = !tell_diverged(groups);
  page.replace(page.find(place), place.size(), script_text(data_of(groups, device, finite)));
  write_atomically(out, page);
  note(fmt::format("{}: {} run{}, {:.0f} kB", out.string(), count, count == 1 ? "" : "s",
                   static_cast<double>(page.size()) / 1000));
  tell_verdicts(groups, out);
  return finite ? 0 : 1;
}

}  // namespace tapir
