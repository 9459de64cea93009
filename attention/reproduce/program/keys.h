// The keys of options, for people: what their visitors tell of them.
#pragma once
#include <string>
#include <vector>

#include "nn/fields.h"

namespace tapir {

struct Key {
  std::string name;
  std::string value;                     // that it has, or its default, in TOML's notation
  std::string allowed;                   // "a whole number in 1 … 9", "one of round, square"
  std::string meaning;
  std::vector<std::string> choices{};    // of a string: it must be one of these; empty: any
  std::vector<std::string> rows{};       // tasks, models, mechanisms or optimisers that have it; empty: it is always there
};

std::vector<Key> keys_of(nn::Options& options);   // with their values, without rows

std::string text_of(const Key& key);   // two lines

}  // namespace tapir
