// The program's standard streams. What a command was asked for goes to standard output and must arrive; what happens meanwhile
// goes to standard error, and where nobody reads it any more the work goes on.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

namespace tapir {

// To be called before any file is opened. A stream that is closed fails from now on, instead of becoming the next file that is
// opened; and writing to a pipe that nobody reads fails, instead of ending the process.
void claim_streams();

void note(const std::string& line);   // on standard error

void print_json(const nlohmann::ordered_json& document);   // on standard output; what is no UTF-8 in it becomes U+FFFD

// An object of what is printed under these names: numbers where the text is one.
nlohmann::ordered_json json_of(const std::vector<std::pair<std::string, std::string>>& named);

void flush_output();   // throws Error where standard output takes no more

}  // namespace tapir
