// What the proofs of claims.cc share: a mixer that shows what it does, and numbers to compare.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "attention/mechanism.h"
#include "autograd/ops/shape.h"
#include "nn/after_feed_forward.h"
#include "tensor/random.h"

namespace tapir::evidence {

using Values = std::vector<double>;

double largest(const Values& x);   // ∞ if one is not finite

// Largest |x − y| over `scale`; ∞ if a number is not finite.
double largest_difference(const Values& x, const Values& y, double scale = 1);

double distance(const Values& x, const Values& y);   // largest |x − y| over the largest |y|

Tensor normal(const Shape& shape, double deviation, const RandomKey& key);   // f64

Mask causal_mask(int64_t offset = 0);
Mask keys(const std::vector<uint8_t>& present, int64_t batch, bool causal = false);

// A mixer in f64 with parameters that show what it does.
class Subject {
 public:
  Subject(const Mechanism& mechanism, const nn::Options& options, const MixerShape& shape, uint64_t seed);

  // `other` with these positions: its parameters, beside those that the positions have or give another shape.
  Subject(const Subject& other, nn::Positions positions);

  Tensor tokens(int64_t batch, int64_t length, const std::string& site) const;

  // The last tokens of each site, and the parameters.
  std::vector<std::pair<std::string, Tensor>> drawn() const;

  // Of a sequence by itself.
  Tensor run(const Tensor& x, const Mask& mask) const { return run(x, x, mask, false); }

  Tensor run_in_training(const Tensor& x, const Mask& mask) const {
    nn::Effects effects;
    return run(*mixer_, x, x, {.training = true, .mask = mask, .recorder = {}, .effects = &effects});
  }

  // The call with coordinates, where tokens have some: their first channels, which go where they go.
  nn::Call at_places(nn::Call call, const Tensor& x, const Tensor& context) const {
    const int64_t d = shape_.places.dimensions;
    if (d == 0) return call;
    call.places = slice(x, 2, 0, d);
    call.context_places = slice(context, 2, 0, d);
    return call;
  }

  // `other`: the context is another sequence than that of the queries.
  Tensor run(const Tensor& x, const Tensor& context, const Mask& mask, bool other) const {
    nn::Call call;
    call.mask = mask;
    return run(other ? *reader_ : *mixer_, x, context, call);
  }

  // Both places that a mixer may have in a block, one after the other.
  Tensor run(nn::TokenMixer& mixer, const Tensor& x, const Tensor& context, const nn::Call& call) const {
    return nn::after_feed_forward(mixer, mixer.forward(x, context, at_places(call, x, context)), call);
  }

  nn::TokenMixer& mixer() const { return *mixer_; }

  // All values recorded under `name`.
  std::vector<Tensor> recorded(const std::string& name, const Tensor& x, const Tensor& context, const Mask& mask) const;

  std::vector<Tensor> parameters() const {
    std::vector<Tensor> values;
    for (const auto& [name, parameter] : parameters_) values.push_back(parameter->value);
    return values;
  }
  void set_parameters(const Tensor* values) const {
    for (const auto& [name, parameter] : parameters_) {
      parameter->value = *values++;
      if (reader_) reader_->parameter_at(name).value = parameter->value;
    }
  }
  const std::string& parameter_name(size_t i) const { return parameters_[i].first; }
  uint64_t seed() const { return seed_; }

 private:
  struct Undrawn {};
  Subject(const Mechanism& mechanism, const nn::Options& options, const MixerShape& shape, uint64_t seed, Undrawn);

  void draw_parameters(uint32_t draw) const;
  bool shows_something() const;   // attention is far from uniform, and gates are neither all open nor all shut

  const Mechanism& mechanism_;
  const nn::Options& options_;
  const MixerShape shape_;
  const uint64_t seed_;
  const std::unique_ptr<nn::TokenMixer> mixer_;

 public:
  const nn::Needs needs;

 private:
  std::unique_ptr<nn::TokenMixer> reader_;   // with the same parameters, of another sequence; null where it needs its own
  std::vector<std::pair<std::string, nn::Parameter*>> parameters_;
  mutable std::map<std::string, Shape> tokens_;   // those drawn last, by their sites
};

// What was compared for a claim and how well it agreed; throws Error with what went wrong.
std::string causal(const Subject& subject);   // values.cc
std::string distribution(const Subject& subject);
std::string equivariant(const Subject& subject);
std::string padding_safe(const Subject& subject);
std::string streaming(const Subject& subject);
std::string linear(const Subject& subject);
std::string batch_independent(const Subject& subject);
std::string positions(const Subject& subject);
std::string gradient(const Subject& subject);   // derivatives.cc
std::string double_gradient(const Subject& subject);

}  // namespace tapir::evidence
