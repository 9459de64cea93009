// The keys of options, as their visitor has them.
#pragma once
#include <set>
#include <string>

#include "nn/fields.h"

namespace tapir::testing {

struct FieldNames final : nn::FieldVisitor {
  void operator()(const char* key, int64_t&, const char*, const nn::Range&) override { keys.insert(key); }
  void operator()(const char* key, double&, const char*, const nn::Range&) override { keys.insert(key); }
  void operator()(const char* key, bool&, const char*) override { keys.insert(key); }
  void operator()(const char* key, std::string&, const char*, const nn::Choices&) override { keys.insert(key); }
  void operator()(const char* key, nn::Numbers&, const char*, const nn::Range&) override { keys.insert(key); }

  std::set<std::string> keys;
};

}  // namespace tapir::testing
