// A trial of three arms that takes seconds, which several tests run, spoil or refuse.
#pragma once
#include "attention/reproduce/program/trial.h"
#include "tests/messages.h"
#include "tests/program/program_helpers.h"

namespace tapir::testing {

inline constexpr const char* experiment = R"(
[task]
name = "copy"
size = 4
evaluated = 16
[model]
context = 16
width = 16
layers = 1
heads = 2
hidden = 200
[attention]
mechanism = "dot_product"
[train]
steps = 9
batch = 4
log_every = 3
)";

inline constexpr const char* criterion = R"(
[trial]
claim = "A learns more than B"
source = "nobody"
metric = "validation_accuracy"
difference = 0.5
reason = "half"
seeds = 2
rates = "1e-2, 1e-3"
refuted_by = "less than half"
limits = "all of them"
[[trial.arm]]
name = "plain"
[[trial.arm]]
name = "expressive"
attention.mechanism = "expressive"
[[trial.arm]]
name = "larger"
attention.mechanism = "mlp_qkv"
match = "plain"
)";

// A folder with the trial as small.toml, and a place for its runs.
struct Place {
  TemporaryFolder folder;
  std::filesystem::path file = folder.write("small.toml", text(experiment, criterion)), out = folder.path() / "out";

  std::string line(const std::string& rest = "") const {
    return "trial " + in_quotes(file) + " --out " + in_quotes(out) + ' ' + rest;
  }
  std::string refused(const std::string& find, const std::string& put) const {
    std::string changed = text(experiment, criterion);
    REQUIRE(contains_text(changed, find));
    changed.replace(changed.find(find), find.size(), put);
    return message_of([&] {
      Trial trial = read_trial(folder.write("changed.toml", changed), {});
      prepare(trial);
    });
  }
};

}  // namespace tapir::testing
