#include "attention/reproduce/config.h"

#include <algorithm>

#include "datasets/text_file.h"
#include "datasets/utf8.h"
#include "nn/train/small_file.h"
#include "tensor/error.h"

namespace tapir {
namespace {

size_t edit_distance(const std::string& a, const std::string& b) {   // Wagner & Fischer 1974, one row at a time
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::string hint_for(const std::string& word, const std::vector<std::string>& known) {
  const std::string close = nearest(word, known);
  return close.empty() ? "" : text("did you mean '", close, "'?");
}

// Lays `top` over `base`: tables are merged, everything else is replaced.
void overlay(toml::table& base, const toml::table& top) {
  for (const auto& [key, value] : top) {
    const toml::table* upper = value.as_table();
    toml::table* lower = base[key.str()].as_table();
    if (upper && lower) overlay(*lower, *upper);
    else base.insert_or_assign(key.str(), value);
  }
}

toml::table read_chain(const std::filesystem::path& file, std::vector<std::filesystem::path> chain) {
  const std::filesystem::path name = std::filesystem::weakly_canonical(file);
  require(std::find(chain.begin(), chain.end(), name) == chain.end(), file.string(), [] { return "extends itself"; });
  require(std::filesystem::is_regular_file(file), file.string(), [] { return "there is no such file"; },
          "experiments are in attention/reproduce/");
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
  const toml::node* extends = table.get("extends");
  if (!extends) return table;
  require(extends->is_string(), file.string(), [] { return "'extends' must be the name of a file"; });
  toml::table base = read_chain(file.parent_path() / extends->value_or(std::string()), std::move(chain));
  table.erase("extends");
  overlay(base, table);
  return base;
}

class Reader final : public nn::FieldVisitor {
 public:
  Reader(std::string section, const toml::table& table) : section_(std::move(section)), table_(table) {}

  void operator()(const char* key, int64_t& value, const char*, const nn::Range& range) override {
    read(key, value, "a whole number", [](const toml::node& node) { return node.is_integer(); });
    check(key, static_cast<double>(value), range);
  }
  void operator()(const char* key, double& value, const char*, const nn::Range& range) override {
    read(key, value, "a number", [](const toml::node& node) { return node.is_number(); });
    check(key, value, range);
  }
  void operator()(const char* key, bool& value, const char*) override {
    read(key, value, "true or false", [](const toml::node& node) { return node.is_boolean(); });
  }
  void operator()(const char* key, std::string& value, const char*, const nn::Choices& choices) override {
    read(key, value, "a string", [](const toml::node& node) { return node.is_string(); });
    const auto is_control = [](unsigned char c) { return c < 32 || c == 127; };   // what toml++ writes of them it cannot read
    require(std::none_of(value.begin(), value.end(), is_control), name(key),
            [&] { return text("must be one line without control characters, found ", shown(value)); });
    std::string listed;
    for (const std::string& choice : choices) listed += (listed.empty() ? "" : ", ") + choice;
    require(choices.empty() || std::find(choices.begin(), choices.end(), value) != choices.end(), name(key),
            [&] { return text("'", value, "' is none of: ", listed); }, hint_for(value, choices));
  }

  void require_all_known() const {
    for (const auto& entry : table_) {
      const std::string key(entry.first.str());
      require(std::find(known_.begin(), known_.end(), key) != known_.end(), "config",
              [&] { return text("there is no key '", key, "' in [", section_, ']'); }, hint_for(key, known_));
    }
  }

 private:
  std::string name(const char* key) const { return text("config: ", section_, '.', key); }

  template <class T, class Fits>
  void read(const char* key, T& value, const char* wanted, const Fits& fits) {
    known_.push_back(key);
    const toml::node* node = table_.get(key);
    if (!node) return;
    require(fits(*node), name(key), [&] { return text("must be ", wanted, ", found ", node_text(*node)); });
    if constexpr (std::is_same_v<T, double>)   // value<double>() has no number that it would have to round
      if (const auto* whole = node->as_integer()) return void(value = static_cast<double>(whole->get()));
    value = *node->value<T>();
  }

  void check(const char* key, double value, const nn::Range& range) const {
    require(value >= range.low && value <= range.high, name(key),
            [&] { return text("must be in ", range.low, " … ", range.high, ", found ", value); });
  }

  static std::string node_text(const toml::node& node) {
    std::ostringstream out;
    node.visit([&](const auto& concrete) { out << concrete; });
    return out.str();
  }

  std::string section_;
  const toml::table& table_;
  std::vector<std::string> known_;
};

class Writer final : public nn::FieldVisitor {
 public:
  void operator()(const char* key, int64_t& value, const char*, const nn::Range&) override { table.insert(key, value); }
  void operator()(const char* key, double& value, const char*, const nn::Range&) override { table.insert(key, value); }
  void operator()(const char* key, bool& value, const char*) override { table.insert(key, value); }
  void operator()(const char* key, std::string& value, const char*, const nn::Choices&) override {
    table.insert(key, value);
  }

  toml::table table;
};

}  // namespace

toml::table read_config(const std::filesystem::path& file) { return read_chain(file, {}); }

void set_value(toml::table& config, const std::string& assignment) {
  const size_t equals = assignment.find('='), dot = assignment.find('.');
  require(equals != std::string::npos && dot != std::string::npos && dot > 0 && dot + 1 < equals, "--set",
          [&] { return text("expected section.key=value, found '", assignment, "'"); });
  require(!first_invalid_utf8(assignment), "--set", [&] { return text("expected UTF-8, found ", shown(assignment)); });
  const std::string section = assignment.substr(0, dot), key = assignment.substr(dot + 1, equals - dot - 1);
  const std::string value = assignment.substr(equals + 1);
  if (!config[section].is_table()) config.insert_or_assign(section, toml::table{});
  toml::table& table = *config[section].as_table();
  try {
    const toml::table parsed = toml::parse("value = " + value);
    table.insert_or_assign(key, *parsed.get("value"));
  } catch (const toml::parse_error&) {
    table.insert_or_assign(key, value);
  }
}

void read_section(const toml::table& config, const std::string& section, nn::Options& options) {
  const toml::node* node = config.get(section);
  require(!node || node->is_table(), "config",
          [&] { return text("'", section, "' must be a table, written [", section, ']'); });
  const toml::table none;
  Reader reader(section, node ? *node->as_table() : none);
  options.fields(reader);
  reader.require_all_known();
}

void require_sections(const toml::table& config, const std::vector<std::string>& known) {
  for (const auto& entry : config) {
    const std::string section(entry.first.str());
    require(std::find(known.begin(), known.end(), section) != known.end(), "config",
            [&] { return text("there is no section [", section, ']'); }, hint_for(section, known));
  }
}

toml::table section_of(nn::Options& options) {
  Writer writer;
  options.fields(writer);
  return std::move(writer.table);
}

std::string nearest(const std::string& word, const std::vector<std::string>& known) {
  const auto closest = std::min_element(known.begin(), known.end(), [&](const std::string& a, const std::string& b) {
    return edit_distance(word, a) < edit_distance(word, b);
  });
  return closest == known.end() ? "" : *closest;
}

}  // namespace tapir
