// One short training by the program, which many tests look at, and the experiment that it came from.
#pragma once
#include "tests/program/program_helpers.h"

namespace tapir::testing {

inline constexpr const char* tiny = R"(
[data]
kind = "generated"
train_tokens = 3000
valid_tokens = 600
test_tokens = 600
[model]
context = 16
width = 16
layers = 1
heads = 2
dropout = 0.1
[train]
steps = 30
batch = 4
evaluate_every = 10
save_every = 10
)";

// A folder with tiny.toml, and in it "run", trained to its end.
struct Trained {
  Trained() : experiment(folder.write("tiny.toml", tiny)), run(folder.path() / "run") {
    outcome = tapir("train " + in_quotes(experiment) + " --out " + in_quotes(run));
  }
  TemporaryFolder folder;
  std::filesystem::path experiment, run;
  Outcome outcome;
};

inline const Trained& trained() {
  static const Trained once;
  return once;
}

inline std::string train_line(const std::string& rest) { return "train " + in_quotes(trained().experiment) + ' ' + rest; }

}  // namespace tapir::testing
