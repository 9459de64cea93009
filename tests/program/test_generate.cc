// tapir generate: from a prompt, side by side, beyond the context, with every mechanism that streams.
#include <doctest/doctest.h>

#include "attention/zoo.h"
#include "tests/messages.h"
#include "tests/program/trained_run.h"

namespace tapir {

namespace fs = std::filesystem;
using namespace testing;

TEST_CASE("generate goes on from a prompt, the same way for the same seed") {
  const std::string run = "generate " + in_quotes(trained().run) + " --tokens 8 ";
  const Outcome first = tapir(run + "--prompt 'The otter'"), again = tapir(run + "--prompt 'The otter'");
  CHECK(first.status == 0);
  CHECK(first.out == again.out);
  CHECK(first.out != tapir(run + "--prompt 'The otter' --seed 2").out);
  CHECK(tapir(run + "--prompt ''").status == 0);
  CHECK(contains_text(first.err, "prompt: 2 tokens in "));
  CHECK(contains_text(first.err, "; 8 tokens in "));
  CHECK(contains_text(first.err, " tokens/s\n"));
  CHECK(tapir(run + "--prompt 'The zzyzx'").out.starts_with("The <unk>"));
}

TEST_CASE("generate writes with every mechanism that streams") {
  for (const Mechanism& row : zoo()) {
    if (!row.claims(*row.options()).streaming) continue;
    CAPTURE(row.name);
    const fs::path run = trained().folder.path() / ("writes-" + row.name);
    REQUIRE(tapir(train_line("--set train.steps=1 --set attention.mechanism=" + row.name + " --out " + in_quotes(run))).status == 0);
    const std::string line = "generate " + in_quotes(run) + " --tokens 12 --temperature 0 --prompt 'The otter'";
    const Outcome outcome = tapir(line);
    CHECK(outcome.status == 0);
    CHECK(outcome.out.starts_with("The otter "));
    CHECK(outcome.out == tapir(line).out);
  }
}

TEST_CASE("generate: samples side by side, of which the first is that of one alone; the likeliest; the end at given words") {
  const std::string run = "generate " + in_quotes(trained().run) + " --tokens 30 --prompt 'The otter' ";
  const std::string one = tapir(run).out;
  CHECK(contains_text(tapir(run + "--samples 3").out, "[1] " + one));
  CHECK(contains_text(tapir(run + "--samples 3").out, "\n[3] The otter"));
  CHECK(tapir(run + "--top-k 1").out == tapir(run + "--temperature 0").out);
  CHECK(tapir(run + "--top-p 0.000001").out == tapir(run + "--temperature 0").out);
  CHECK(tapir(run + "--top-p 0.5").out != one);

  const std::string word = one.substr(one.size() / 2, 4);   // somewhere in what was generated
  const std::string stopped = tapir(run + "--stop " + in_quotes(word)).out;
  CHECK(stopped == one.substr(0, one.find(word, std::string("The otter").size())) + '\n');
  CHECK(tapir(run + "--stop 'no such words'").out == one);
  CHECK(contains_text(refusal("generate x --top-p 1.1"), "--top-p: must be a number in 0 … 1, found 1.1"));
  CHECK(contains_text(refusal("generate x --top-k -1"), "--top-k: must be a whole number in 0 … 1000000000, found -1"));
  for (const char* idle : {" --top-k 2", " --top-p 0.5", " --samples 2", " --seed 2"})
    CHECK(refusal("generate x --temperature 0" + std::string(idle)) ==
          "tapir: generate: at --temperature 0 the likeliest token is taken, and --top-k, --top-p, --samples and --seed choose "
          "nothing; hint: leave them out, or give a temperature");
  CHECK(contains_text(refusal("generate x --samples 0"), "--samples: must be a whole number in 1 … 1000, found 0"));
}

TEST_CASE("generate: where positions end with the context, the last half is read again, and it says so once") {
  const Outcome outcome = tapir("generate " + in_quotes(trained().run) + " --tokens 60 --prompt 'The otter'");   // context 16
  CHECK(outcome.status == 0);
  const std::string line =
      "generate: learned positions end at 16 tokens; whenever that many are there, the last 9 are read again";
  CHECK(contains_text(outcome.err, line));
  CHECK(outcome.err.find(line) == outcome.err.rfind(line));
}

TEST_CASE("a prompt with a word that the vocabulary lacks is refused where there is no <unk>") {
  const TemporaryFolder folder;
  std::string lines;
  for (int k = 0; k < 40; ++k) lines += "the cat sat on the mat\n";
  const fs::path text = folder.write("cat.txt", lines), run = folder.path() / "run";
  CHECK(tapir(train_line("--set data.kind=file --set data.path=" + in_quotes(text) +
                         " --set train.steps=2 --set train.batch=1 "
                         "--set model.context=4 --out " +
                         in_quotes(run)))
            .status == 0);
  CHECK(tapir("generate " + in_quotes(run) + " --prompt 'the cat'").out.starts_with("the cat"));
  const std::string refused = refusal("generate " + in_quotes(run) + " --prompt 'the dog'");
  CHECK(contains_text(refused, "the prompt"));
  CHECK(contains_text(refused, "\"dog\""));
}

}  // namespace tapir
