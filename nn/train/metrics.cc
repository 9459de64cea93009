#include "nn/train/metrics.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>

#include "nn/files/atomic_file.h"
#include "nn/files/mapped_file.h"
#include "nn/files/small_file.h"
#include "tensor/error.h"

namespace tapir {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const MetricValue& value) {
  if (const auto* number = std::get_if<double>(&value); number && !std::isfinite(*number))
    return std::isnan(*number) ? "nan" : *number > 0 ? "inf" : "-inf";
  return std::visit([](const auto& held) { return Json(held); }, value);
}

MetricValue value_of(const Json& json) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (is_integer(json)) return json.get<int64_t>();
  if (json.is_number()) return json.get<double>();
  const auto text = json.get<std::string>();   // throws for every other type
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (text == "inf") return infinity;
  if (text == "-inf") return -infinity;
  return text;
}

MetricsLine parse_line(const std::filesystem::path& path, int64_t number, std::string_view line) {
  const std::string where = text(path.string(), ':', number);
  require_small(where, line.size(), small_file / 8);   // the parser compares each key with all before it
  MetricsLine parsed;
  try {
    const Json json = Json::parse(line);
    require(json.is_object() && !json.empty() && json.begin().key() == "step" && json.begin()->is_number_integer(), where,
            [] { return "expected an object that starts with an integer \"step\""; });
    parsed.step = integer_of(*json.begin(), where, "step");
    for (const auto& [name, value] : json.items())
      if (name != "step") parsed.values.emplace_back(name, value_of(value));
  } catch (const Json::exception& error) {
    throw Error(where, text("is not a line of metrics: ", error.what()));
  }
  return parsed;
}

// Calls visit(line number, line without its end, ends with '\n') for each line.
template <class Visit>
void for_each_line(std::string_view contents, Visit visit) {
  for (int64_t number = 1; !contents.empty(); ++number) {
    const size_t end = contents.find('\n');
    visit(number, contents.substr(0, end), end != contents.npos);
    contents.remove_prefix(end == contents.npos ? contents.size() : end + 1);
  }
}

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

}  // namespace

double MetricsLine::number(const std::string& name) const {
  for (const auto& [key, value] : values) {
    if (key != name) continue;
    if (const auto* integer = std::get_if<int64_t>(&value)) return static_cast<double>(*integer);
    if (const auto* real = std::get_if<double>(&value)) return *real;
    throw Error("metrics", text("\"", name, "\" of step ", step, " is text, not a number"));
  }
  throw Error("metrics", text("step ", step, " has no \"", name, "\""));
}

MetricsLog::MetricsLog(std::filesystem::path path)
    : path_(std::move(path)), descriptor_(path_, O_WRONLY | O_CREAT | O_APPEND) {}

void MetricsLog::append(const MetricsLine& line) {
  Json json = {{"step", line.step}};
  for (const auto& value : line.values) {
    const std::string& name = value.first;
    require(!json.contains(name), path_.string(),
            [&] { return text("\"", name, "\" is given twice in step ", line.step); });
    json[name] = json_of(value.second);
  }
  const std::string written = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  const int64_t taken = write_all(descriptor_.get(), std::as_bytes(std::span(written)));
  if (taken < static_cast<int64_t>(written.size())) throw_file_error(path_, text("write of step ", line.step));
}

void MetricsLog::save() {
  if (sync(descriptor_.get()) != 0) throw_file_error(path_, "fsync");
}

std::vector<MetricsLine> read_metrics(const std::filesystem::path& path) {
  const MappedFile file(path);
  std::vector<MetricsLine> lines;
  for_each_line(text_of(file), [&](int64_t number, std::string_view line, bool whole) {
    if (whole) lines.push_back(parse_line(path, number, line));
  });
  return lines;
}

int64_t rewind_metrics(const std::filesystem::path& path, int64_t step) {
  if (!std::filesystem::exists(path)) return 0;
  int64_t last = 0;
  const MappedFile file(path);
  std::string kept;
  for_each_line(text_of(file), [&](int64_t number, std::string_view line, bool whole) {
    if (!whole) return;
    const int64_t own = parse_line(path, number, line).step;
    if (own > step) return;
    kept.append(line).append("\n");
    last = own;
  });
  if (kept.size() < file.bytes().size()) write_atomically(path, kept);
  return last;
}

}  // namespace tapir
