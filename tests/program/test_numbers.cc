// Every number that a user gives, as a key of a configuration or as an option of a command: taken exactly, or refused with
// its name, its range and what was found. Keys come from the visitors, options from the help of each command.
#include <doctest/doctest.h>

#include <cmath>
#include <iomanip>
#include <limits>
#include <map>
#include <regex>
#include <set>

#include "attention/reproduce/program/resolve.h"
#include "tests/messages.h"
#include "tests/program/trained_run.h"
#include "tests/program/variants.h"

namespace tapir {
namespace {

using namespace testing;

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Word {
  std::string text;
  bool whole, real;          // a number of this type in TOML's notation
  long double value = 0;
};

// What is no number of TOML is a string, and refused.
const std::vector<Word>& words() {
  static const std::vector<Word> all{
      {"nan", false, true, NAN},
      {"-nan", false, true, NAN},
      {"inf", false, true, infinity},
      {"-inf", false, true, -infinity},
      {"1e400", false, false},
      {"-1e400", false, false},
      {"-1", true, true, -1},
      {"-0", true, true, 0},
      {"+1", true, true, 1},
      {"9007199254740993", true, true, 9007199254740993.0L},
      {"9223372036854775807", true, true, 9223372036854775807.0L},
      {"9223372036854775808", false, false},
      {"18446744073709551616", false, false},
      {"-9223372036854775808", true, true, -9223372036854775808.0L},
      {"-9223372036854775809", false, false},
      {"0x10", true, true, 16},
      {"1_000", true, true, 1000},
      {"01", false, false},
      {" 1", true, true, 1},
      {"1 ", true, true, 1},
      {"", false, false},
      {"1e3", false, true, 1000},
      {"1.5", false, true, 1.5},
      {"1.0", false, true, 1},
      {"1e-400", false, true, 0},   // the nearest double
      {"true", false, false},
      {"'1'", false, false},
      {"[1]", false, false},
      {"1,2", false, false},
      {"1#2", false, false},
      {"1\n2", false, false},
      {"one", false, false},
  };
  return all;
}

struct Bounds {
  long double low, high;
  std::string text;   // as a message has it
};

std::string digits(long double value) {
  char shown[64];
  const bool whole = value == std::floor(value) && std::fabs(value) < 1e19L;
  std::snprintf(shown, sizeof shown, whole ? "%.0Lf" : "%.20Lg", value);
  return shown;
}

// At the bounds, and the nearest numbers on both sides of them.
std::vector<Word> around(const Bounds& bounds, bool whole) {
  std::vector<Word> all;
  for (const long double bound : {bounds.low, bounds.high})
    for (const int side : {-1, 0, 1}) {
      if (whole) {
        const long double value = bound + side;
        const bool exists = std::fabs(value) <= 9223372036854775807.0L;
        all.push_back({digits(value), exists, exists, value});
      } else {
        const double value = side ? std::nextafter(static_cast<double>(bound), side * infinity) : static_cast<double>(bound);
        if (std::isfinite(value)) all.push_back({text(std::showpoint, std::setprecision(17), value), false, true, value});
      }
    }
  return all;
}

std::string shown(long double value) { return value == std::floor(value) ? digits(value) : text(static_cast<double>(value)); }

struct NumberKey {
  std::string section, key;
  bool whole;
  Bounds bounds;
};

// Numeric keys of one section, and afterwards the value of one of them.
struct Numbers final : nn::FieldVisitor {
  void operator()(const char* key, int64_t& value, const char*, const nn::Range& range) override {
    add(key, true, range, value);
  }
  void operator()(const char* key, double& value, const char*, const nn::Range& range) override {
    add(key, false, range, value);
  }
  void operator()(const char*, bool&, const char*) override {}
  void operator()(const char*, std::string&, const char*, const nn::Choices&) override {}
  void operator()(const char*, nn::Numbers&, const char*, const nn::Range&) override {}   // test_config.cc

  void add(const char* key, bool whole, const nn::Range& range, long double value) {
    const bool open = range.high == std::numeric_limits<double>::max();
    const std::string allowed = open ? "of at least " + shown(range.low) + ", and finite, found "
                                     : "in " + shown(range.low) + " … " + shown(range.high) + ", found ";
    keys.push_back({section, key, whole, {range.low, range.high, allowed}});
    values[key] = value;
  }

  std::string section;
  std::vector<NumberKey> keys;
  std::map<std::string, long double> values;
};

struct Option {
  std::string command, name;
  Bounds bounds;
  bool whole;
};

// Each command, with arguments that it refuses once its options are read.
const std::vector<std::pair<std::string, std::string>> commands{
    {"", "eval nowhere"},      {"train", "nowhere.toml"},  {"eval", "nowhere"},          {"generate", "nowhere"},
    {"report", "nowhere"},     {"zoo", "--nowhere"},       {"check", "nowhere"},         {"summary", "nowhere.toml"},
    {"config", "nowhere"},     {"completion", "nowhere"},
    {"data", "lst"},           {"data list", "--nowhere"}, {"data verify", "--nowhere"},
    {"compare", "nowhere.toml --attention dot_product"}, {"trial", "nowhere.toml"}, {"bisect", "nowhere nowhere"},
    {"dossier", "nowhere.toml"}, {"predict", "nowhere nowhere.png"},
};

}  // namespace

TEST_CASE("every number of a configuration is taken exactly, or refused with its name, its range and what was found") {
  size_t taken = 0, refused = 0;
  std::set<std::string> seen, idle, read;
  for (const std::vector<std::string>& settings : variants()) {
    toml::table base;
    set_values(base, settings);
    Experiment experiment = resolve(base);
    each_section(experiment, [&](const std::string& section, nn::Options& options) {
      Numbers numbers;
      numbers.section = section;
      options.fields(numbers);
      const std::vector<NumberKey> keys = numbers.keys;
      for (const NumberKey& key : keys) {
        if (!seen.insert(section + '.' + key.key).second && settings.empty()) continue;
        std::vector<Word> all = words();
        for (Word& word : around(key.bounds, key.whole)) all.push_back(std::move(word));
        for (const Word& word : all) {
          INFO(section << "." << key.key << "=" << word.text);
          toml::table config = base;
          set_value(config, section + '.' + key.key + '=' + word.text);
          Experiment fresh = resolve(base);
          std::string message = "no error";
          each_section(fresh, [&](const std::string& other, nn::Options& changed) {
            if (other != section) return;
            message = message_of([&] { read_section(config, section, changed); });
            changed.fields(numbers);
          });
          const bool number = key.whole ? word.whole : word.real;
          if (number && word.value >= key.bounds.low && word.value <= key.bounds.high) {
            const bool unread = contains_text(message, "is read only where");
            (unread ? idle : read).insert(section + '.' + key.key);
            if (unread) continue;
            CHECK(message == "no error");
            CHECK(numbers.values[key.key] == (key.whole ? word.value : static_cast<double>(word.value)));
            ++taken;
          } else {
            CHECK(message.starts_with("config: " + section + '.' + key.key + ": must be a " + (key.whole ? "whole " : "") +
                                      "number " + key.bounds.text));
            ++refused;
          }
        }
      }
    });
    const std::string resolved = experiment.toml();   // no number of it has gone by unseen
    const toml::table all = toml::parse(resolved);
    for (const auto& [section, table] : all)
      for (const auto& [key, value] : *table.as_table())
        if (value.is_number()) CHECK(seen.contains(text(section.str(), '.', key.str())));
  }
  CHECK(seen.size() > 30);
  for (const std::string& key : idle) CHECK_MESSAGE(read.contains(key), key);
  CHECK(taken > 500);
  CHECK(refused > 1000);
}

TEST_CASE("every number of a command line is taken, or refused with its option, its range and what was found") {
  std::vector<Option> options;
  for (const auto& [command, rest] : commands) {
    const std::string help = tapir(command + " --help").out;
    CHECK(contains_text(help, "--help"));
    for (const char* type : {" INT", " UINT", " FLOAT", "NUMBER", "RANGE"}) CHECK_FALSE(contains_text(help, type));
    static const std::regex ranged("--([a-z-]+) in (\\S+) … (\\S+)");
    for (std::sregex_iterator match(help.begin(), help.end(), ranged), end; match != end; ++match) {
      const auto part = [&](size_t k) { return (*match)[k].str(); };
      const bool whole = part(1) != "minutes" && part(1) != "temperature" && part(1) != "top-p";
      const Bounds bounds{std::stold(part(2)), std::stold(part(3)), part(2) + " … " + part(3)};
      options.push_back({command, "--" + part(1), bounds, whole});
    }
  }
  // threads; stop-after, minutes; tokens, temperature, top-k, top-p, samples; top; seeds; jobs of two commands; a seed of five
  CHECK(options.size() == 17);
  for (const Option& option : options) {
    const auto command = std::find_if(commands.begin(), commands.end(), [&](auto& one) { return one.first == option.command; });
    const std::string line = option.command + ' ' + command->second + ' ' + option.name;
    std::vector<Word> all = around(option.bounds, option.whole);
    for (const Word& word : words())
      if (word.text != "01" && word.text != "1,2" && word.text != "[1]") all.push_back(word);
    for (const Word& word : all) {
      const std::string given = line + (word.text.empty() ? " " : "=") + '\'' +
                                (contains_text(word.text, "'") ? "one" : word.text) + '\'';
      const std::string message = refusal(given, "", "");
      const std::string about = option.name + ": must be a " + (option.whole ? "whole " : "") + "number in " +
                                option.bounds.text + ", found ";
      const bool number = option.whole ? word.whole : word.real;
      CAPTURE(given);
      CAPTURE(message);
      if (number && word.value >= option.bounds.low && word.value <= option.bounds.high)
        CHECK_FALSE(contains_text(message, option.name + ':'));
      else
        CHECK(contains_text(message, about));
    }
    const std::string low = ' ' + digits(option.bounds.low) + ' ';
    CHECK(contains_text(refusal(line + low + option.name + low, "", ""), option.name + ": At Most 1 required but received 2"));
  }
}

TEST_CASE("options that take a name refuse an empty one") {
  for (const std::string& line : std::vector<std::string>
       {"train ''", "train --resume ''", "train x --out ''", "train x --set ''", "train x --device ''", "train x --dtype ''",
        "train x --precision ''", "eval ''", "eval x --part ''", "generate ''", "report ''", "report x --out ''",
        "compare '' --attention a", "compare x --attention ''", "compare x --attention a --out ''", "summary ''",
        "check ''", "zoo ''", "config ''", "config x.toml --set ''"})
    CHECK(contains_text(refusal(line), line.find("--part") == std::string::npos ? "must not be empty" : "--part:  not in {"));
}

TEST_CASE("seeds are exact up to the largest, in the run, its weights and what is read of it") {
  const TemporaryFolder folder;
  std::set<std::string> digests;
  for (const std::string seed : {"9007199254740992", "9007199254740993", "9223372036854775806", "9223372036854775807"}) {
    const std::filesystem::path run = folder.path() / seed;
    const Outcome outcome = tapir(train_line("--set train.steps=1 --seed " + seed + " --out " + in_quotes(run)));
    CHECK(outcome.status == 0);
    CHECK(contains_text(contents(run / "experiment.toml"), "seed = " + seed + '\n'));
    digests.insert(digest_in(outcome.out));
    CHECK(tapir("report " + in_quotes(run) + " --out " + in_quotes(folder.path() / "page")).status == 0);
    CHECK(contains_text(contents(folder.path() / "page"), "\"seed\":\"" + seed + '"'));
  }
  CHECK(digests.size() == 4);
  CHECK(contains_text(refusal("compare " + in_quotes(trained().experiment) +
                              " --attention dot_product --seed 9223372036854775807"),
                      "--seeds: there are no 3 seeds from 9223372036854775807 on"));
}

TEST_CASE("a limit of 0 minutes ends after the first step") {
  const TemporaryFolder folder;
  const Outcome outcome = tapir(train_line("--minutes 0 --out " + in_quotes(folder.path() / "run")));
  CHECK(outcome.status == 0);
  CHECK(contains_text(outcome.out, "1 steps of 30, "));
}

}  // namespace tapir
