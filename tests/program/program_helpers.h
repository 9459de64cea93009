// The program as a process: its command lines, what it prints, and the files that it leaves.
#pragma once
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "tests/datasets/datasets_helpers.h"

namespace tapir::testing {

inline std::string contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

inline std::string in_quotes(const std::filesystem::path& path) { return '\'' + path.string() + '\''; }

struct Outcome {
  int status = 0;  // as the shell says it: 128 + signal for a process that a signal ended
  std::string out, err;
};

// Runs "tapir THREADS ARGUMENTS" in a shell, after the shell's commands `before`.
inline Outcome tapir(const std::string& arguments, const std::string& before = "", const std::string& threads = "--threads 1") {
  const TemporaryFolder folder;
  const std::filesystem::path out = folder.path() / "out", err = folder.path() / "err";
  const int status = std::system(
      (before + " '" TAPIR_PROGRAM "' " + threads + ' ' + arguments + " </dev/null >" + in_quotes(out) + " 2>" + in_quotes(err))
          .c_str());
  return {WEXITSTATUS(status), contents(out), contents(err)};
}

// What "tapir ARGUMENTS" says on its only line of standard error, once it has failed with exit status 1.
inline std::string refusal(const std::string& arguments, const std::string& before = "",
                           const std::string& threads = "--threads 1") {
  const Outcome outcome = tapir(arguments, before, threads);
  INFO(arguments << '\n' << outcome.err);
  CHECK(outcome.status == 1);
  CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
  CHECK(outcome.err.starts_with("tapir: "));
  CHECK(outcome.err.ends_with('\n'));
  return outcome.err.substr(0, outcome.err.find('\n'));
}

inline std::string digest_in(const std::string& out) {
  const size_t at = out.find("weights sha256 ");
  return at == std::string::npos ? "none" : out.substr(at + 15, 64);
}

// "", "train", …, "data list": every command, as help lists them.
inline std::vector<std::string> all_commands(const std::string& above = "") {
  std::vector<std::string> all{above};
  std::istringstream help(tapir(above + " --help").out);
  bool listed = false;
  for (std::string line; std::getline(help, line);) {
    if (listed && line.starts_with("  "))
      for (std::string& one : all_commands((above.empty() ? "" : above + ' ') + line.substr(2, line.find(' ', 2) - 2)))
        all.push_back(std::move(one));
    listed = listed || line == "Subcommands:";
  }
  return all;
}

}  // namespace tapir::testing
