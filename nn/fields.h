// Fields: one visitor over an options struct, from which configuration keys, help, defaults and validation all come.
//
//   struct ScoreMlpOptions : Options {
//     int64_t hidden = 16;
//     void fields(FieldVisitor& visit) override { visit("hidden", hidden, "units of the hidden layer", at_least(1)); }
//   };
#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace tapir::nn {

struct Range {   // of a number: low ≤ value ≤ high
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();
};

inline Range at_least(double low) { return {.low = low}; }
inline Range between(double low, double high) { return {low, high}; }

using Choices = std::vector<std::string>;   // of a string: it must be one of these; empty: any

// Called once for each field: its key, the value (read or written), one line of help, and what values are allowed.
class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;
  virtual void operator()(const char* key, int64_t& value, const char* help, const Range& range) = 0;
  virtual void operator()(const char* key, double& value, const char* help, const Range& range) = 0;
  virtual void operator()(const char* key, bool& value, const char* help) = 0;
  virtual void operator()(const char* key, std::string& value, const char* help, const Choices& choices) = 0;
};

struct Options {
  virtual ~Options() = default;
  virtual void fields(FieldVisitor&) {}
};

}  // namespace tapir::nn
