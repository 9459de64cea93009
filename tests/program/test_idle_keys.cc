// Keys that other keys leave unread: they are refused, unless they have their default.
#include <doctest/doctest.h>

#include <fmt/format.h>

#include <map>
#include <set>

#include "attention/reproduce/program/resolve.h"
#include "tests/messages.h"
#include "tests/program/variants.h"

namespace tapir {
namespace {

using namespace testing;

// Of each key its default and some other value, in TOML's notation; and the keys that are not read, with the words for when.
struct Values final : nn::FieldVisitor {
  void operator()(const char* key, int64_t& value, const char*, const nn::Range& range) override {
    add(key, value, value < range.high ? value + 1 : value - 1);
  }
  void operator()(const char* key, double& value, const char*, const nn::Range& range) override {
    const double low = static_cast<double>(range.low), high = static_cast<double>(range.high);
    add(key, value, value > low ? (value + low) / 2 : (value + high) / 2);
  }
  void operator()(const char* key, bool& value, const char*) override { add(key, value, !value); }
  void operator()(const char* key, std::string& value, const char*, const nn::Choices& choices) override {
    add(key, value, choices.empty() ? "other" : choices.front() == value ? choices.back() : choices.front());
  }
  void operator()(const char* key, nn::Numbers& values, const char*, const nn::Range&) override {
    add(key, fmt::format("[{}]", fmt::join(values, ", ")), fmt::format("[{}, {}]", values.front(), fmt::join(values, ", ")));
  }
  void only(bool read, const char* where, std::initializer_list<const char*> keys) override {
    for (const char* key : keys) (read ? live : idle)[key] = where;
  }

  std::map<std::string, std::pair<std::string, std::string>> values;
  std::map<std::string, std::string> idle, live;

 private:
  template <class T> void add(const char* key, const T& standard, const T& other) {
    values[key] = {fmt::format("{}", standard), fmt::format("{}", other)};
  }
};

std::string refused(const std::vector<std::string>& settings, const std::string& assignment) {
  std::vector<std::string> all = settings;
  all.push_back(assignment);
  return message_of([&] {
    toml::table config;
    set_values(config, all);
    resolve(config);
  });
}

}  // namespace

TEST_CASE("keys that are not read are refused where they are not the default, and taken where they are read") {
  std::vector<std::vector<std::string>> all = variants();
  for (const std::vector<std::string>& settings : std::vector<std::vector<std::string>>{
           {"schedule.shape=constant"}, {"optimiser.name=sgd", "optimiser.momentum=0"},
           {"attention.mechanism=attention_bn", "attention.deviation=multiply"}})
    all.push_back(settings);
  std::set<std::string> seen_idle;
  for (const std::vector<std::string>& settings : all) {
    toml::table config;
    set_values(config, settings);
    Experiment experiment = resolve(config);
    each_section(experiment, [&](const std::string& section, nn::Options& options) {
      Values found;
      options.fields(found);
      for (const auto& [key, where] : found.idle) {
        const std::string name = section + '.' + key;
        CAPTURE(name);
        CHECK(refused(settings, name + '=' + found.values.at(key).first) == "no error");
        CHECK(refused(settings, name + '=' + found.values.at(key).second) ==
              text("config: ", name, ": is read only where ", where, "; hint: leave it out, or at its default"));
        seen_idle.insert(name);
      }
      for (const auto& entry : found.live) {
        const std::string other = section + '.' + entry.first + '=' + found.values.at(entry.first).second;
        if (!found.idle.contains(entry.first)) CHECK(!contains_text(refused(settings, other), "is read only"));
      }
    });
  }
  for (const char* name : {"attention.hidden", "attention.beta", "attention.epsilon", "model.norm_kind", "model.frequencies",
                           "optimiser.nesterov", "schedule.decay_share", "schedule.floor", "task.refinement"})
    CHECK_MESSAGE(seen_idle.contains(name), name);
}

}  // namespace tapir
