// Initial values of parameters.
#pragma once
#include "tensor/philox.h"
#include "tensor/tensor.h"

namespace tapir::nn {

class Init {
 public:
  static Init constant(double value) { return {Rule::constant, value}; }
  static Init normal(double deviation) { return {Rule::normal, deviation}; }    // mean 0
  static Init uniform(double bound) { return {Rule::uniform, bound}; }          // in (−bound, bound)
  static Init fan_in(int64_t inputs);                    // uniform(1/√inputs), usual in linear layers

  void fill(Tensor& value, const RandomKey& key) const;

 private:
  enum class Rule { constant, normal, uniform };
  Init(Rule rule, double parameter) : rule_(rule), parameter_(parameter) {}
  Rule rule_;
  double parameter_;
};

}  // namespace tapir::nn
