// A text of one's own: the commands of docs/data.md, as they stand there, on a text of a temporary folder.
#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>

#include "datasets/catalog.h"
#include "datasets/synthetic/grammar.h"
#include "tests/messages.h"
#include "tests/program/program_helpers.h"
#include "tests/skipped.h"

namespace tapir {
namespace {

using namespace testing;

// Commands under the heading, without "$ tapir ".
std::vector<std::string> commands_under(const std::string& heading) {
  const std::string page = contents(TAPIR_SOURCE_DIR "/docs/data.md");
  const size_t begin = page.find("\n## " + heading + '\n');
  REQUIRE(begin != std::string::npos);
  std::istringstream section(page.substr(begin, page.find("\n## ", begin + 1) - begin));
  std::vector<std::string> commands;
  for (std::string line; std::getline(section, line);)
    if (line.starts_with("$ tapir ")) commands.push_back(line.substr(8));
  return commands;
}

}  // namespace

TEST_CASE("the commands for a text of one's own train on each kind of tokens, generate, and go on") {
  const TemporaryFolder folder;
  folder.write("my.txt", std::regex_replace(generated_articles(1, 4000), std::regex("<unk>"), "thing"));
  std::string kinds;
  for (std::string command : commands_under("Text of your own")) {
    CAPTURE(command);
    command = std::regex_replace(command, std::regex("attention/reproduce"), TAPIR_SOURCE_DIR "/attention/reproduce");
    command = std::regex_replace(command, std::regex("train.steps=\\d+"), "train.steps=6");
    command = std::regex_replace(command, std::regex("max_types=\\d+"), "max_types=280");   // the text is short
    if (contains_text(command, "text.toml")) command += " --set train.steps=4 --set train.batch=4 --set model.width=16";
    const Outcome outcome = tapir(command, "cd " + in_quotes(folder.path()) + " && ");
    CAPTURE(outcome.err);
    CHECK(outcome.status == 0);
    for (const char* kind : {"character", "word", "bpe", "wordpiece"})
      if (contains_text(outcome.out, std::string("tokenizer ") + kind + ' ')) kinds += std::string(kind) + ' ';
    if (command.starts_with("generate")) CHECK(outcome.out.starts_with("The "));
    if (command.starts_with("train --resume")) CHECK(contains_text(outcome.out, "6 steps of 6, "));
  }
  CHECK(kinds == "character word bpe wordpiece ");   // of one line of `tapir eval`
  const Outcome generated = tapir("generate runs/word-pieces --prompt The --tokens 8", "cd " + in_quotes(folder.path()) + " && ");
  CHECK(generated.status == 0);
  CHECK(generated.out.starts_with("The"));
}

TEST_CASE("the recipe for a text of one's own says that it needs one") {
  CHECK(refusal("train " TAPIR_SOURCE_DIR "/attention/reproduce/experiments/text.toml --out never") ==
        "tapir: data.path: the kind \"file\" needs the path of a text file or of a folder");
}

TEST_CASE("a corpus without a test part trains, is judged and resumed, and who asks for that part gets one line") {
  if (lacks(find_data_set("tinyshakespeare")->folder() / "input.txt")) return;
  const TemporaryFolder folder;
  const std::string run = in_quotes(folder.path() / "run"), recipe = TAPIR_SOURCE_DIR "/attention/reproduce/experiments/";
  const std::string line = "train " + recipe + "tinyshakespeare-nanogpt.toml --set model.width=16 --set train.steps=4" +
                           " --set data.train_tokens=2000 --set data.valid_tokens=900";
  REQUIRE(tapir(line + " --stop-after 2 --out " + run).status == 0);
  REQUIRE(tapir("train --resume " + run).status == 0);
  const auto digests = nlohmann::json::parse(contents(folder.path() / "run" / "run.json"))["digests"];
  CHECK(digests.size() == 3);
  CHECK(!digests.contains("test"));
  CHECK(tapir("eval " + run).status == 0);
  CHECK(refusal("eval --part test " + run) ==
        "tapir: data: tinyshakespeare has no test part; hint: it is judged by its part \"valid\"");
  CHECK(contains_text(refusal(line + " --set data.test_tokens=5 --out never"),
                      "data.test_tokens: tinyshakespeare has no test part, found 5; hint: leave it at 0"));
}

}  // namespace tapir
