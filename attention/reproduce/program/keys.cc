#include "attention/reproduce/program/keys.h"

#include <fmt/format.h>

#include "attention/reproduce/program/config.h"
#include "tensor/error.h"

namespace tapir {
namespace {

class Describer final : public nn::FieldVisitor {
 public:
  explicit Describer(const toml::table& values) : values_(values) {}

  void operator()(const char* key, int64_t&, const char* help, const nn::Range& range) override {
    add(key, whole_number_text(range), help);
  }
  void operator()(const char* key, double&, const char* help, const nn::Range& range) override {
    add(key, number_text(range), help);
  }
  void operator()(const char* key, bool&, const char* help) override { add(key, "true or false", help); }
  void operator()(const char* key, std::string&, const char* help, const nn::Choices& choices) override {
    add(key, choices.empty() ? "a string" : fmt::format("one of {}", fmt::join(choices, ", ")), help, choices);
  }
  void operator()(const char* key, nn::Numbers&, const char* help, const nn::Range& range) override {
    add(key, list_text(range), help);
  }

  void only(bool, const char* where, std::initializer_list<const char*> names) override {
    const char* const condition = "; read where ";
    for (const char* name : names)
      for (Key& key : keys)
        if (key.name == name) key.meaning += text(key.meaning.find(condition) == std::string::npos ? condition : " and ", where);
  }

  std::vector<Key> keys;

 private:
  void add(const char* key, std::string allowed, const char* help, const nn::Choices& choices = {}) {
    keys.push_back({key, value_text(*values_.get(key)), std::move(allowed), help, choices});
  }

  const toml::table& values_;
};

}  // namespace

std::vector<Key> keys_of(nn::Options& options) {
  const toml::table values = section_of(options);
  Describer describer(values);
  options.fields(describer);
  return std::move(describer.keys);
}

std::string text_of(const Key& key) {
  return fmt::format("    {:<30} {}{}{}\n        {}\n", fmt::format("{} = {}", key.name, key.value), key.allowed,
                     key.rows.empty() ? "" : "; of ", fmt::join(key.rows, ", "), key.meaning);
}

}  // namespace tapir
