// Initial values of parameters.
#pragma once
#include <vector>

#include "tensor/philox.h"
#include "tensor/tensor.h"

namespace tapir::nn {

class Init {   // Numbers must be finite, deviations and bounds ≥ 0 (else Error).
 public:
  static Init constant(double value) { return {Rule::constant, value}; }
  static Init normal(double deviation) { return {Rule::normal, deviation}; }    // mean 0
  static Init uniform(double bound) { return {Rule::uniform, bound}; }          // in (−bound, bound)
  static Init fan_in(int64_t inputs);                    // uniform(1/√inputs), usual in linear layers
  static Init values(std::vector<double> numbers);       // these, one for each element, in row-major order

  // Of matrices (…,O,I):
  static Init xavier_uniform(double gain = 1) { return {Rule::xavier_uniform, gain}; }   // bound gain √(6/(I + O))
  static Init xavier_normal() { return {Rule::xavier_normal, 0}; }     // deviation √(2/(I + O))  Glorot & Bengio 2010, both
  static Init he() { return {Rule::he, 0}; }                           // normal, deviation √(2/I)  He et al. 2015
  static Init orthogonal(double gain = 1) { return {Rule::orthogonal, gain}; }   // the shorter of rows and columns are
                                                         // orthogonal, of length gain              Saxe et al. 2014

  static Init truncated_normal(double deviation) { return {Rule::truncated_normal, deviation}; }   // cut at 2 deviations

  // This one, and `factor` more where row and column are the same, of matrices (…,O,I).
  Init plus_identity(double factor) const;

  void fill(Tensor& value, const RandomKey& key) const;   // throws Error where the rule does not fit the shape

 private:
  enum class Rule { constant, normal, uniform, xavier_uniform, xavier_normal, he, orthogonal, truncated_normal, values };
  Init(Rule rule, double parameter, std::vector<double> numbers = {});
  void fill_by_rule(Tensor& value, const RandomKey& key) const;
  Rule rule_;
  double parameter_, diagonal_ = 0;
  std::vector<double> numbers_;
};

}  // namespace tapir::nn
