// Fields: one visitor over an options struct, from which configuration keys, help, defaults and validation all come.
//
//   struct ScoreMlpOptions : Options {
//     int64_t hidden = 16;
//     void fields(FieldVisitor& visit) override { visit("hidden", hidden, "units of the hidden layer", at_least(1)); }
//   };
#pragma once
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

namespace tapir::nn {

// Of a number: low ≤ value ≤ high, both finite. It is exact, for a long double holds each int64_t and each double.
struct Range {
  long double low = std::numeric_limits<double>::lowest(), high = std::numeric_limits<double>::max();

  bool contains(long double value) const { return low <= value && value <= high; }   // never NaN
};
static_assert(std::numeric_limits<long double>::digits >= 64);

inline Range at_least(long double low) { return {.low = low}; }
inline Range between(long double low, long double high) { return {low, high}; }

using Numbers = std::vector<int64_t>;
using Choices = std::vector<std::string>;   // of a string: it must be one of these; empty: any

// Called once for each field: its key, the value (read or written), one line of help, and what values are allowed.
class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;
  virtual void operator()(const char* key, int64_t& value, const char* help, const Range& range) = 0;
  virtual void operator()(const char* key, double& value, const char* help, const Range& range) = 0;
  virtual void operator()(const char* key, bool& value, const char* help) = 0;
  virtual void operator()(const char* key, std::string& value, const char* help, const Choices& choices) = 0;
  virtual void operator()(const char* key, Numbers& values, const char* help, const Range& range) = 0;   // of each; one or more

  // Called behind them: these keys are read where `read` holds, which `where` says in words. Elsewhere a configuration may not
  // set them to anything but their default.
  virtual void only(bool /*read*/, const char* /*where*/, std::initializer_list<const char*> /*keys*/) {}
};

struct Options {
  virtual ~Options() = default;
  virtual void fields(FieldVisitor&) {}
};

// Throws an Error named after `where` unless each field has a value that it allows. Whatever is made of options asks this.
void require_allowed(const char* where, Options& options);
template <class Some> void require_allowed(const char* where, const Some& options) {
  Some copy = options;
  require_allowed(where, static_cast<Options&>(copy));
}

// Throws an Error named after `where` unless keys are new, not empty and none of `taken`, and defaults are allowed: of options
// that a program adds.
void require_sound(const char* where, Options& options, const std::vector<std::string>& taken);

}  // namespace tapir::nn
