// A training that memory is too small for: what the error suggests is right, and nothing is lost.
#include <doctest/doctest.h>

#include "attention/zoo.h"
#include "attention/reproduce/program/run_folder.h"
#include "attention/reproduce/program/summary.h"
#include "nn/train/weights.h"
#include "tensor/arena.h"
#include "tensor/cuda.h"
#include "tests/datasets/datasets_helpers.h"
#include "tests/messages.h"
#include "tests/tensor/policies.h"

namespace tapir {
namespace {

using testing::TemporaryFolder;

constexpr const char* small = R"(
[data]
kind = "generated"
train_tokens = 3000
valid_tokens = 100
test_tokens = 100
[model]
context = 32
width = 16
layers = 1
heads = 4
[train]
steps = 2
batch = 24
)";

struct Limit {   // of the arena, so many bytes above what is in use
  Limit(Device device, int64_t bytes) : arena(Arena::of(device)) { arena.set_limit(arena.statistics().in_use + bytes); }
  ~Limit() { arena.set_limit(0); }
  Arena& arena;
};

Experiment experiment_of(const std::string& device, std::vector<std::string> settings) {
  const TemporaryFolder folder;
  settings.push_back("run.device=" + device);
  return read_experiment(folder.write("small.toml", small), settings);
}

}  // namespace

TEST_CASE("a training without enough memory names the largest batch that fits, and the process goes on") {
  for (const std::string device : {"cpu", "cuda"}) {
    if (device == "cuda" && !cuda::built) continue;
    INFO(device);
    for (const std::string mechanism : {"dot_product", "additive"}) {
      INFO(mechanism);
      const TemporaryFolder folder;
      const auto message = [&](const std::string& name, const std::vector<std::string>& settings) {
        Experiment experiment = experiment_of(device, settings);
        experiment.attention.mechanism = mechanism;
        experiment.attention.own = tapir::mechanism(mechanism).options();
        return message_of([&] { train_run(experiment, folder.path() / name, false); });
      };
      Experiment eleven = experiment_of(device, {"train.batch=11", "attention.mechanism=" + mechanism});
      const int64_t peak = summarise(eleven).peak;
      {
        const Limit limit(eleven.device(), peak + (20 << 10));
        const std::string refused = message("refused", {});
        CAPTURE(refused);
        CHECK(refused.starts_with("train: arena: no memory for "));
        CHECK(contains_text(refused, "the largest owners: "));
        CHECK(refused.ends_with("; hint: train.batch=11 fits"));
        CHECK(message("eleven", {"train.batch=11"}) == "no error");
        CHECK(message("twelve", {"train.batch=12"}).ends_with("; hint: train.batch=11 fits"));
        CHECK(message("parts", {"train.accumulate=3"}) == "no error");   // 8 at a time
      }
      {
        const Limit limit(eleven.device(), 100 << 10);
        CHECK(message("none", {}).ends_with("; hint: no batch fits: use a shorter context or a smaller model"));
      }
      CHECK(message("all", {}) == "no error");
    }
  }
}

TEST_CASE("a run that memory became too small for keeps what it has, and goes on later") {
  for (const std::string device : {"cpu", "cuda"}) {
    if (device == "cuda" && !cuda::built) continue;
    INFO(device);
    const TemporaryFolder folder;
    Experiment experiment = experiment_of(device, {});
    const auto digest = [&](const std::string& name, bool resume, int64_t stop_after) {
      return weights_digest(train_run(experiment, folder.path() / name, resume, stop_after).task->model());
    };
    const std::string whole = digest("whole", false, 0);
    digest("cut", false, 1);
    {
      const Limit limit(experiment.device(), 100 << 10);
      CHECK_THROWS_AS(digest("cut", true, 0), OutOfMemory);
    }
    CHECK(digest("cut", true, 0) == whole);
  }
}

}  // namespace tapir
