#include "tests/mechanisms/distance.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "tests/golden_file.h"

namespace tapir {
namespace {

using reference::Sizes;
using reference::Values;

double norm_of(const Values& x) { return std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0)); }

double difference_of(const Values& x, const Values& y) {
  require(x.size() == y.size(), "distance", [&] { return text(x.size(), " values cannot be compared with ", y.size()); });
  Values d(x.size());
  std::transform(x.begin(), x.end(), y.begin(), d.begin(), std::minus());
  return norm_of(d);
}

double relative(double difference, double size) {   // NaN counts as infinite
  const double error = difference == 0 ? 0 : difference / size;
  return error >= 0 ? error : std::numeric_limits<double>::infinity();
}

Distance between(const Tensor& y, const Values& output, const Subject::Named& found, const Subject::Named& expected,
                 const std::string& place) {
  Distance distance{.forward = {}, .gradient = {}, .comparisons = 1};
  const double size = norm_of(output);
  distance.forward.take(relative(difference_of(y.values<double>(), output), size > 0 ? size : 1), place);
  for (const auto& one : found)
    require(expected.contains(one.first), "distance", [&] { return "nothing to compare the gradient of " + one.first + " with"; });
  double largest = 0;
  for (const auto& one : expected) largest = std::max(largest, norm_of(one.second));
  constexpr double rounding = 1e-13 / Distance::gradient_bound;   // of terms as large as the largest gradient
  for (const auto& [name, values] : expected) {
    const double error = relative(difference_of(found.at(name), values), norm_of(values) + rounding * largest);
    distance.gradient.take(error, name + ", " + place);
  }
  return distance;
}

std::vector<Sizes> sizes_of_mixers() {
  return {{.B = 1, .H = 1, .T = 1, .S = 1, .D = 3},
          {.B = 2, .H = 2, .T = 3, .S = 4, .D = 2},
          {.B = 2, .H = 3, .T = 4, .S = 4, .D = 2, .causal = true, .present = {1, 1, 0, 1, 1, 1, 1, 1}},
          {.B = 2, .H = 1, .T = 2, .S = 5, .D = 4, .present = {0, 0, 0, 0, 0, 1, 0, 1, 1, 1}}};
}

// A recorded case names its options by their keys.
std::unique_ptr<nn::Options> recorded_options(const nlohmann::json& one) {
  std::string toml;
  for (const auto& [key, value] : one["options"].items()) toml += key + " = " + value.dump() + '\n';
  return options_of(one["mechanism"].get<std::string>(), toml);
}

// Beside width and heads.
MixerShape recorded_shape(const nlohmann::json& one) {
  const nlohmann::json said = one.value("shape", nlohmann::json::object());
  MixerShape shape{.layer = said.value("layer", 0), .biases = said.value("biases", false), .layers = said.value("layers", 1)};
  for (const auto& [positions, name] : nn::all_positions)
    if (said.value("positions", "none") == name) shape.positions = positions;
  if (said.contains("rows"))
    shape.places = {.kind = nn::Places::Kind::grid, .class_tokens = said["class_tokens"], .rows = said["rows"],
                    .columns = said["columns"]};
  if (one["inputs"].contains("places"))
    shape.places = {.kind = nn::Places::Kind::coordinates, .dimensions = one["inputs"]["places"]["shape"][2]};
  return shape;
}

Distance from_scalar_loops(const Oracle& oracle, const nn::Options& options, Reach reach) {
  const nn::Needs needs = needs_of(mechanism(oracle.mechanism), options);
  Distance worst;
  for (Sizes sizes : reach == Reach::heads ? sizes_of_heads() : sizes_of_mixers())
    for (const uint64_t seed : {1, 2}) {
      sizes.causal = sizes.causal && !needs.all_tokens;
      if ((needs.self && sizes.T != sizes.S) || (needs.any_distance && sizes.window > 0) || (oracle.even && sizes.D % 2 != 0))
        continue;
      const Subject subject(oracle.mechanism, options, sizes, seed, reach);
      worst.take(from_truth(subject, subject.expected(options, oracle),
                            text("T ", sizes.T, ", S ", sizes.S, sizes.causal ? ", causal" : "",
                                 sizes.window > 0 ? ", window" : "", sizes.present.empty() ? "" : ", padded", ", seed ", seed)));
    }
  return worst;
}

}  // namespace

void Worst::take(double other, const std::string& place) {
  if (other < error || (other == error && !where.empty())) return;
  error = other;
  where = place;
}

void Distance::take(const Distance& other) {
  forward.take(other.forward.error, other.forward.where);
  gradient.take(other.gradient.error, other.gradient.where);
  comparisons += other.comparisons;
}

Distance from_scalar_loops(const Oracle& oracle, const nn::Options& options) {
  Distance worst = from_scalar_loops(oracle, options, oracle.mixer ? Reach::mixer : Reach::heads);
  if (oracle.layer) worst.take(from_scalar_loops(oracle, options, Reach::layer));
  return worst;
}

Distance from_truth(const Subject& subject, const reference::Attention& truth, const std::string& place) {
  const Tensor y = subject.output();
  return between(y, truth.output, subject.gradients(y), truth.gradients, place);
}

// Its inputs are q, k and v, or those of a whole mixer, or z.
Subject subject_of(const nlohmann::json& one) {
  const nlohmann::json& inputs = one["inputs"];
  const bool heads = inputs.contains("q"), layer = inputs.contains("z");
  const Shape x = golden_tensor(inputs[heads ? "q" : layer ? "z" : "x"]).shape();
  const char* const keys = heads ? "k" : inputs.contains("context") ? "context" : layer ? "z" : "x";
  const Shape context = golden_tensor(inputs[keys]).shape();
  constexpr int64_t H = 2;   // of whole mixers
  Sizes sizes = heads ? Sizes{x[0], x[1], x[2], context[2], x[3], one["causal"].get<bool>()}
                      : Sizes{x[0], H, x[1], context[1], x[2] / H, one.value("causal", false)};
  for (const auto& sample : one.value("present", nlohmann::json::array()))
    for (const uint8_t there : sample) sizes.present.push_back(there);
  Subject subject(one["mechanism"], *recorded_options(one), sizes, 1,
                  heads ? Reach::heads : layer ? Reach::layer : Reach::mixer, recorded_shape(one));
  for (const auto& [name, value] : inputs.items()) subject.inputs[name] = requires_grad(golden_tensor(value));
  if (inputs.contains("places"))
    subject.call.places = subject.inputs.at("places"), subject.call.context_places = subject.inputs.at("context_places");
  subject.g = golden_tensor(one["upstream"]);
  for (const auto& own : one["parameters"].items()) {
    nn::Parameter& parameter = subject.parameter(own.key());
    const Tensor recorded = golden_tensor(own.value());
    require(parameter.shape == recorded.shape(), "distance",
            [&] { return text(own.key(), " is ", parameter.shape, ", recorded ", recorded.shape()); });
    parameter.value = requires_grad(recorded);
  }
  subject.mixer->each_buffer([&](const std::string& name, nn::Buffer& buffer) {
    buffer.value = golden_tensor(one["buffers"][name]);
  });
  return subject;
}

Distance from_recorded(const nlohmann::json& one) {
  const Subject subject = subject_of(one);
  const Tensor y = subject.output();
  Subject::Named expected;
  for (const auto& [name, value] : one["gradients"].items()) expected[name] = value["data"].get<Values>();
  return between(y, one["output"]["data"].get<Values>(), subject.gradients(y), expected, one["name"]);
}

}  // namespace tapir
