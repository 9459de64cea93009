#include "attention/claims/subject.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "autograd/backward.h"
#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/tolerance.h"

namespace tapir::evidence {
namespace {

MixerShape placed(MixerShape shape, nn::Positions positions) {
  shape.positions = positions;
  return shape;
}

}  // namespace

double largest(const Values& x) {
  double size = 0;
  for (const double value : x) size = std::max(size, error_of(value, 0));
  return size;
}

double largest_difference(const Values& x, const Values& y, double scale) {
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) worst = std::max(worst, error_of(x[i], y[i], scale));
  return worst;
}

double distance(const Values& x, const Values& y) {
  const double size = largest(y);
  return largest_difference(x, y, size > 0 ? size : 1);
}

Tensor normal(const Shape& shape, double deviation, const RandomKey& key) {
  Tensor x = Tensor::empty(shape, DType::f64);
  normal_(x, 0, deviation, key);
  return x;
}

Mask causal_mask(int64_t offset) { return {.causal = true, .offset = offset, .keys = {}}; }

Mask keys(const std::vector<uint8_t>& present, int64_t batch, bool causal) {
  const int64_t length = static_cast<int64_t>(present.size()) / batch;
  return {.causal = causal, .offset = 0, .keys = Tensor::from(present, {batch, length})};
}

Subject::Subject(const Mechanism& mechanism, const nn::Options& options, const MixerShape& shape, uint64_t seed, Undrawn)
    : mechanism_(mechanism), options_(options), shape_(shape), seed_(seed), mixer_(mechanism.make(options, shape)),
      needs(mixer_->needs()) {
  if (!needs.self) {
    MixerShape reading = shape;
    reading.context = nn::Context::other;
    reader_ = mechanism.make(options, reading);
    reader_->initialise(seed, DType::f64);
  }
  mixer_->initialise(seed, DType::f64);
  mixer_->each_parameter([&](const std::string& name, nn::Parameter& parameter) {
    parameters_.emplace_back(name, &parameter);
  });
}

Subject::Subject(const Mechanism& mechanism, const nn::Options& options, const MixerShape& shape, uint64_t seed)
    : Subject(mechanism, options, shape, seed, Undrawn()) {
  for (uint32_t draw = 0; draw < 200; ++draw) {
    draw_parameters(draw);
    if (shows_something()) break;
  }
}

Subject::Subject(const Subject& other, nn::Positions positions)
    : Subject(other.mechanism_, other.options_, placed(other.shape_, positions), other.seed_, Undrawn()) {
  draw_parameters(0);
  std::map<std::string, Tensor> known;
  for (const auto& [name, parameter] : other.parameters_) known[name] = parameter->value;
  std::vector<Tensor> values;
  for (const auto& [name, parameter] : parameters_) {
    const auto same = known.find(name);
    values.push_back(same != known.end() && same->second.shape() == parameter->shape ? same->second : parameter->value);
  }
  set_parameters(values.data());
}

Tensor Subject::tokens(int64_t batch, int64_t length, const std::string& site) const {
  const Shape shape{batch, length, shape_.width};
  tokens_[site] = shape;
  return normal(shape, 1, {.seed = seed_, .step = 0, .site = site_of(site)});
}

std::vector<std::pair<std::string, Tensor>> Subject::drawn() const {
  std::vector<std::pair<std::string, Tensor>> all;
  for (const auto& [site, shape] : tokens_)
    all.emplace_back(site, normal(shape, 1, {.seed = seed_, .step = 0, .site = site_of(site)}));
  for (const auto& [name, parameter] : parameters_) all.emplace_back(name, parameter->value.detach());
  return all;
}

std::vector<Tensor> Subject::recorded(const std::string& name, const Tensor& x, const Tensor& context, const Mask& mask) const {
  std::vector<Tensor> values;
  nn::Call call;
  call.mask = mask;
  call.recorder = [&](const std::string&, const std::string& which, const Tensor& value) {
    if (which == name) values.push_back(value);
  };
  const NoGrad guard;
  (x.size(1) == context.size(1) ? mixer_ : reader_)->forward(x, context, at_places(call, x, context));
  return values;
}

void Subject::draw_parameters(uint32_t draw) const {
  for (const auto& [name, parameter] : parameters_) {
    const Shape& shape = parameter->shape;
    const bool matrix = nn::decays(parameter->kind) && shape.rank() > 1;
    const double deviation = matrix ? 1.5 / std::sqrt(static_cast<double>(shape[-1])) : 0.5;
    const Tensor value = normal(shape, deviation, {.seed = seed_, .step = draw, .site = site_of(name)});
    parameter->value = requires_grad(parameter->kind == nn::ParameterKind::gain ? affine(value, 1, 1) : value);
    if (reader_) reader_->parameter_at(name).value = parameter->value;
  }
}

bool Subject::shows_something() const {
  const Tensor x = tokens(2, 6, "x");
  for (const Tensor& gate : recorded("gate", x, x, {}))
    if (gate.item() < 0.25 || gate.item() > 0.75) return false;
  for (const Tensor& weights : recorded("weights", x, x, {}))
    if (largest(weights.values<double>()) < 2.0 / 6) return false;
  return true;
}

}  // namespace tapir::evidence
