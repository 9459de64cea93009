// The words of the command line, as CLI11's tables have them: for hints, and for shells that complete them.
#pragma once
#include <string>
#include <vector>

namespace CLI { class App; }

namespace tapir {

// Commands and options that may follow those commands which were given.
std::vector<std::string> words_after(const CLI::App& app);

// A script that makes `shell`, "bash" or "zsh", complete commands and options, and files elsewhere.
std::string completion_script(const CLI::App& app, const std::string& shell);

}  // namespace tapir
