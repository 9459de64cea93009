#include "attention/reproduce/program/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "datasets/text/text_file.h"
#include "datasets/text/utf8.h"
#include "nn/files/small_file.h"
#include "tensor/error.h"

namespace tapir {
namespace {

constexpr std::pair<const char*, const char*> path_keys[] = {{"run", "initial"}, {"data", "path"}};

// Makes those that are relative absolute, from `folder`: whoever reads them later may stand elsewhere.
void resolve_paths(toml::table& config, const std::filesystem::path& folder) {
  for (const auto& [section, key] : path_keys) {
    toml::value<std::string>* const value = config[section][key].as_string();
    if (!value || value->get().empty()) continue;
    const std::filesystem::path path = std::filesystem::absolute(folder / value->get());
    std::error_code error;
    const std::filesystem::path canonical = std::filesystem::weakly_canonical(path, error);
    *value = (error ? path : canonical).string();
    require(!first_invalid_utf8(value->get()), text("config: ", section, '.', key),
            [&] { return text("expected UTF-8, found ", shown(value->get())); }, "give the folder another name");
  }
}

toml::table read_chain(const std::filesystem::path& file, std::vector<std::filesystem::path> chain) {
  std::error_code error;
  const std::filesystem::file_type type = std::filesystem::status(file, error).type();
  require(type != std::filesystem::file_type::not_found, file.string(), [] { return "there is no such file"; },
          "experiments are in attention/reproduce/experiments/");
  require(!error, file.string(), [&] { return "cannot be read: " + error.message(); });
  require(type == std::filesystem::file_type::regular, file.string(),
          [] { return "is no regular file"; }, "save the experiment as a file: its name and place count");
  const std::filesystem::path name = std::filesystem::weakly_canonical(file);
  require(std::find(chain.begin(), chain.end(), name) == chain.end(), file.string(), [] { return "extends itself"; });
  chain.push_back(name);
  toml::table table;
  try {
    const std::string contents = read_file(file);
    require_small(file.string(), contents.size(), 2 * small_file);
    table = toml::parse(contents, file.string());
  } catch (const toml::parse_error& error) {
    throw Error(file.string(), text("line ", error.source().begin.line, ", column ", error.source().begin.column, ": ",
                                    error.description()));
  }
  resolve_paths(table, file.parent_path());
  const toml::node* extends = table.get("extends");
  if (!extends) return table;
  require(extends->is_string(), file.string(), [] { return "'extends' must be the name of a file"; });
  toml::table base = read_chain(file.parent_path() / extends->value_or(std::string()), std::move(chain));
  table.erase("extends");
  overlay(base, std::move(table));
  return base;
}

// As many digits as it takes to read the same number back.
template <class Number>
std::string exact(Number value) {
  char digits[32];
  return {digits, std::to_chars(digits, std::end(digits), value).ptr};
}

std::string bound(long double value) {
  const auto whole = static_cast<long double>(std::numeric_limits<int64_t>::max());
  const bool is_whole = std::fabs(value) <= whole && value == std::floor(value);
  return is_whole ? exact(static_cast<int64_t>(value)) : exact(static_cast<double>(value));
}

// The number of `node`, named `name` in errors: of the right type, and in the range.
template <class T>
T number(const std::string& name, const toml::node& node, const nn::Range& range) {
  const auto* real = node.as_floating_point();
  const auto* whole = node.as_integer();
  const bool holds = whole ? range.contains(whole->get()) : real && std::is_same_v<T, double> && range.contains(real->get());
  require(holds, name, [&] {
    return text("must be ", std::is_same_v<T, double> ? number_text(range) : whole_number_text(range), ", found ",
                value_text(node));
  });
  return whole ? static_cast<T>(whole->get()) : static_cast<T>(real->get());
}

// What follows `end` in a text of UTF-8.
std::string_view rest_after(std::string_view text, const toml::source_position& end) {
  for (uint32_t line = 1; line < end.line; ++line) text.remove_prefix(text.find('\n') + 1);
  for (uint32_t column = 1; column < end.column; ++column)
    do text.remove_prefix(1);
    while (!text.empty() && (text.front() & 0xC0) == 0x80);
  return text;
}

// One value in TOML's notation, which is all of `word`; what is none is a string.
toml::table table_of_value(const std::string& word) {
  const std::string line = "value = " + word;
  try {
    toml::table parsed = toml::parse(line);
    const std::string_view rest = rest_after(line, parsed.get("value")->source().end);
    if (parsed.size() == 1 && rest.find_first_not_of(" \t") == rest.npos) return parsed;
  } catch (const toml::parse_error&) {
  }
  return toml::table{{"value", word}};
}

[[noreturn]] void throw_unknown(const std::string& what, const std::string& word, const std::vector<std::string>& known,
                                const Elsewhere& elsewhere) {
  std::vector<KnownWord> all;
  for (const std::string& one : known) all.push_back({one});
  if (elsewhere)
    for (KnownWord& one : elsewhere()) all.push_back(std::move(one));
  const std::string hint = meant(word, all);
  throw Error("config", what, hint.empty() ? "`tapir config` lists all keys of all sections" : hint);
}

class Reader final : public nn::FieldVisitor {
 public:
  Reader(std::string section, const toml::table& table) : section_(std::move(section)), table_(table) {}

  void operator()(const char* key, int64_t& value, const char*, const nn::Range& range) override {
    if (const toml::node* node = find(key)) set(key, value, number<int64_t>(name(key), *node, range));
  }
  void operator()(const char* key, double& value, const char*, const nn::Range& range) override {
    if (const toml::node* node = find(key)) set(key, value, number<double>(name(key), *node, range));
  }
  void operator()(const char* key, bool& value, const char*) override {
    const toml::node* node = find(key);
    require(!node || node->is_boolean(), name(key), [&] { return text("must be true or false, found ", value_text(*node)); });
    if (node) set(key, value, node->as_boolean()->get());
  }
  void operator()(const char* key, std::string& value, const char*, const nn::Choices& choices) override {
    const toml::node* node = find(key);
    require(!node || node->is_string(), name(key), [&] { return text("must be a string, found ", value_text(*node)); });
    if (node) set(key, value, node->as_string()->get());
    const auto is_control = [](unsigned char c) { return c < 32 || c == 127; };   // what toml++ writes of them it cannot read
    require(std::none_of(value.begin(), value.end(), is_control), name(key),
            [&] { return text("must be one line without control characters, found ", shown(value)); });
    require(choices.empty() || std::find(choices.begin(), choices.end(), value) != choices.end(), name(key),
            [&] { return fmt::format("'{}' is none of: {}", value, fmt::join(choices, ", ")); }, meant(value, choices));
  }

  void operator()(const char* key, nn::Numbers& values, const char*, const nn::Range& range) override {
    const toml::node* node = find(key);
    if (!node) return;
    const toml::array* list = node->as_array();
    const auto allowed = [&](const toml::node& one) { return one.is_integer() && range.contains(one.as_integer()->get()); };
    require(list && !list->empty() && std::all_of(list->begin(), list->end(), allowed), name(key),
            [&] { return text("must be ", list_text(range), ", found ", value_text(*node)); });
    nn::Numbers found;
    for (const toml::node& one : *list) found.push_back(one.as_integer()->get());
    set(key, values, std::move(found));
  }

  void only(bool read, const char* where, std::initializer_list<const char*> keys) override {
    if (read) return;
    for (const char* key : keys)
      require(!changed_.contains(key), name(key), [&] { return text("is read only where ", where); }, "leave it out, or at its default");
  }

  void require_all_known(const Elsewhere& elsewhere) const {
    for (const auto& entry : table_) {
      const std::string key(entry.first.str());
      if (std::find(known_.begin(), known_.end(), key) == known_.end())
        throw_unknown(text("there is no key '", key, "' in [", section_, ']'), key, known_, elsewhere);
    }
  }

 private:
  std::string name(const char* key) const { return text("config: ", section_, '.', key); }

  template <class T> void set(const char* key, T& value, T found) {
    if (value != found) changed_.insert(key);
    value = std::move(found);
  }

  const toml::node* find(const char* key) {
    known_.push_back(key);
    return table_.get(key);
  }

  std::string section_;
  const toml::table& table_;
  std::vector<std::string> known_;
  std::set<std::string> changed_;   // those whose value is not the default
};

class Writer final : public nn::FieldVisitor {
 public:
  void operator()(const char* key, int64_t& value, const char*, const nn::Range&) override { table.insert(key, value); }
  void operator()(const char* key, double& value, const char*, const nn::Range&) override { table.insert(key, value); }
  void operator()(const char* key, bool& value, const char*) override { table.insert(key, value); }
  void operator()(const char* key, std::string& value, const char*, const nn::Choices&) override {
    table.insert(key, value);
  }
  void operator()(const char* key, nn::Numbers& values, const char*, const nn::Range&) override {
    toml::array list;
    for (const int64_t value : values) list.push_back(value);
    table.insert(key, std::move(list));
  }

  toml::table table;
};

}  // namespace

void overlay(toml::table& base, toml::table&& top) {
  for (auto&& [key, value] : top) {
    toml::table* upper = value.as_table();
    toml::table* lower = base[key.str()].as_table();
    if (upper && lower) overlay(*lower, std::move(*upper));
    else base.insert_or_assign(key.str(), std::move(value));
  }
}

toml::table read_config(const std::filesystem::path& file) { return read_chain(file, {}); }

void set_value(toml::table& config, const std::string& assignment) {
  const size_t equals = assignment.find('='), dot = assignment.find('.');
  require(equals != std::string::npos && dot != std::string::npos && dot > 0 && dot + 1 < equals, "--set",
          [&] { return text("expected section.key=value, found '", assignment, "'"); });
  require(!first_invalid_utf8(assignment), "--set", [&] { return text("expected UTF-8, found ", shown(assignment)); });
  const std::string section = assignment.substr(0, dot), key = assignment.substr(dot + 1, equals - dot - 1);
  if (!config[section].is_table()) config.insert_or_assign(section, toml::table{});
  config[section].as_table()->insert_or_assign(key, *table_of_value(assignment.substr(equals + 1)).get("value"));
  resolve_paths(config, "");
}

void set_values(toml::table& config, const std::vector<std::string>& assignments) {
  std::set<std::string> keys;
  for (const std::string& assignment : assignments) {
    set_value(config, assignment);
    const std::string key = assignment.substr(0, assignment.find('='));
    require(keys.insert(key).second, "--set", [&] { return text(key, " is given twice"); });
  }
}

void read_number(const std::string& option, const std::string& word, const nn::Range& range, int64_t& value) {
  value = number<int64_t>(option, *table_of_value(word).get("value"), range);
}

void read_number(const std::string& option, const std::string& word, const nn::Range& range, double& value) {
  value = number<double>(option, *table_of_value(word).get("value"), range);
}

std::string range_text(const nn::Range& range) {
  if (range.high == nn::Range().high) return "of at least " + bound(range.low) + ", and finite";
  return "in " + bound(range.low) + " … " + bound(range.high);
}

std::string number_text(const nn::Range& range) { return "a number " + range_text(range); }
std::string whole_number_text(const nn::Range& range) { return "a whole number " + range_text(range); }
std::string list_text(const nn::Range& range) { return "a list of one or more whole numbers " + range_text(range); }

void read_section(const toml::table& config, const std::string& section, nn::Options& options, const Elsewhere& elsewhere) {
  const toml::node* node = config.get(section);
  require(!node || node->is_table(), "config",
          [&] { return text("'", section, "' must be a table, written [", section, ']'); });
  const toml::table none;
  Reader reader(section, node ? *node->as_table() : none);
  options.fields(reader);
  reader.require_all_known(elsewhere);
}

void require_sections(const toml::table& config, const std::vector<std::string>& known, const Elsewhere& elsewhere) {
  for (const auto& entry : config) {
    const std::string section(entry.first.str());
    if (std::find(known.begin(), known.end(), section) == known.end())
      throw_unknown(text("there is no section [", section, ']'), section, known, elsewhere);
  }
}

toml::table section_of(nn::Options& options) {
  Writer writer;
  options.fields(writer);
  return std::move(writer.table);
}

std::string value_text(const toml::node& value) {
  if (const auto* number = value.as_floating_point()) {
    const std::string digits = exact(number->get());   // a real number has a point or an exponent, unless it is nan or inf
    return digits.find_first_of(".einf") == digits.npos ? digits + ".0" : digits;
  }
  std::ostringstream out;
  value.visit([&](const auto& concrete) { out << concrete; });
  return out.str();
}

}  // namespace tapir
