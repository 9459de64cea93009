// Configuration: TOML tables that may extend one another, read into option structs and written back.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

// For a file with "[=" the parser of toml++ 3.3 breaks an assertion of its own, which NDEBUG turns into an assumption, one
// line before it has an Error for it. Without both the Error comes.
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(expression) static_cast<void>(0)
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

#include "nn/fields.h"

namespace tapir {

// The file's table, laid over that of the file which its key `extends` names (relative to it), and so on. Throws an Error
// that names file, line and column for what is not TOML, and for files that extend themselves.
toml::table read_config(const std::filesystem::path& file);

// Sets "section.key=value", value in TOML's notation; what is not, as a whole, one value of TOML is taken as a string.
// Throws Error unless it has this form.
void set_value(toml::table& config, const std::string& assignment);
void set_values(toml::table& config, const std::vector<std::string>& assignments);   // and for a key that is set twice

// Reads the section's keys into `options`. Throws an Error that names the section and key for a key that no field has (with
// the nearest one that exists), for a value of the wrong type, and for one outside of what is allowed.
void read_section(const toml::table& config, const std::string& section, nn::Options& options);

// The same for a number that a command line gives `option`: `word` in TOML's notation.
void read_number(const std::string& option, const std::string& word, const nn::Range& range, int64_t& value);
void read_number(const std::string& option, const std::string& word, const nn::Range& range, double& value);
std::string range_text(const nn::Range& range);   // "in 1 … 9", "of at least 0, and finite"

// Throws the same Error for a section that is none of `known`.
void require_sections(const toml::table& config, const std::vector<std::string>& known);

// All fields with their values.
toml::table section_of(nn::Options& options);

// The word of `known` with the smallest edit distance to `word`, "" if there is none.
std::string nearest(const std::string& word, const std::vector<std::string>& known);

}  // namespace tapir
