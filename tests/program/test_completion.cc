// Completion by shells: the script is valid, and completes every command and every option that help lists.
#include <doctest/doctest.h>

#include <regex>

#include "tests/messages.h"
#include "tests/program/program_helpers.h"

namespace tapir {
namespace {

using namespace testing;

bool exists(const std::string& program) { return std::system(("command -v " + program + " >/dev/null").c_str()) == 0; }

// What bash makes of each line "tapir WORDS", one answer a line.
std::vector<std::string> completed(const std::vector<std::string>& lines) {
  const TemporaryFolder folder;
  std::string script = tapir("completion bash").out;
  for (const std::string& line : lines) {
    const std::string quoted = line.ends_with(' ') ? line + "''" : line;
    script += "COMP_WORDS=(tapir " + quoted + "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _tapir; echo \"${COMPREPLY[*]}\"\n";
  }
  const auto file = folder.write("script", script), out = folder.path() / "out";
  CHECK(std::system(("bash " + in_quotes(file) + " >" + in_quotes(out)).c_str()) == 0);
  std::istringstream answers(contents(out));
  std::vector<std::string> all;
  for (std::string answer; std::getline(answers, answer);) all.push_back(answer);
  REQUIRE(all.size() == lines.size());
  return all;
}

}  // namespace

TEST_CASE("scripts for bash and zsh are what these shells can read") {
  const TemporaryFolder folder;
  for (const std::string shell : {"bash", "zsh"}) {
    const Outcome outcome = tapir("completion " + shell);
    CHECK(outcome.status == 0);
    CHECK(contains_text(outcome.out, "complete -o default -F _tapir tapir\n"));
    CHECK(contains_text(outcome.out, "bashcompinit") == (shell == "zsh"));
    if (exists(shell)) CHECK(std::system((shell + " -n " + in_quotes(folder.write(shell, outcome.out))).c_str()) == 0);
  }
  CHECK(contains_text(refusal("completion fish"), "shell: fish not in {bash,zsh}"));
  CHECK(contains_text(refusal("completion"), "shell is required"));
}

TEST_CASE("commands, their options, and files where neither is meant") {
  const std::vector<std::string> answers =
      completed({"tra", "data ", "data ver", "train --res", "train --thr", "train quick", "--threads 2 ev", "eval --part v"});
  CHECK(answers == std::vector<std::string>{"train", "list verify", "verify", "--resume", "--threads", "", "eval", ""});
}

TEST_CASE("every command and every option of help is completed") {
  std::vector<std::string> lines, expected;
  for (const std::string& command : all_commands()) {
    if (!command.empty()) lines.push_back(command), expected.push_back(command.substr(command.rfind(' ') + 1));
    const std::string help = tapir(command + " --help").out;
    static const std::regex option("\\n  (?:-[a-z],)?(--[a-z-]+)");
    for (std::sregex_iterator match(help.begin(), help.end(), option), end; match != end; ++match) {
      lines.push_back(command + ' ' + (*match)[1].str());
      expected.push_back((*match)[1]);
    }
  }
  CHECK(lines.size() > 60);
  const std::vector<std::string> answers = completed(lines);
  for (size_t k = 0; k < lines.size(); ++k) {
    CAPTURE(lines[k]);
    CHECK(contains_text(' ' + answers[k] + ' ', ' ' + expected[k] + ' '));
  }
}

}  // namespace tapir
