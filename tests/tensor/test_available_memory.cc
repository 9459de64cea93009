// Memory beyond the machine: what is left, by /proc/meminfo and control groups of both versions; an arena that takes no more;
// and trainings that are refused before anything is computed.
#include "tensor/available_memory.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <limits>

#include "datasets/synthetic/sequences.h"
#include "tensor/arena.h"
#include "tensor/dry_run.h"
#include "tensor/tensor.h"
#include "tests/messages.h"
#include "tests/program/trained_run.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using namespace testing;

constexpr int64_t unlimited = std::numeric_limits<int64_t>::max(), MiB = int64_t{1} << 20;

struct FakeMachine {
  explicit FakeMachine(const std::string& groups) {
    folder.write("proc/meminfo", "MemTotal:       2000000 kB\nMemFree:  5 kB\nMemAvailable:    1000000 kB\nCached: 7 kB\n");
    folder.write("proc/self/cgroup", groups);
  }
  FakeMachine& first(const std::string& path, const std::string& limit, const std::string& use,
                     const std::string& files = "0") {
    const std::string group = "sys/fs/cgroup/memory" + path + "/memory.";
    folder.write(group + "limit_in_bytes", limit + "\n");
    folder.write(group + "usage_in_bytes", use + "\n");
    folder.write(group + "stat", "cache 1\ninactive_file 3\ntotal_cache 1\ntotal_inactive_file " + files + "\n");
    return *this;
  }
  FakeMachine& second(const std::string& path, const std::string& limit, const std::string& use,
                      const std::string& files = "0", const std::string& mount = "sys/fs/cgroup") {
    const std::string group = mount + path + "/memory.";
    folder.write(group + "max", limit + "\n");
    folder.write(group + "current", use + "\n");
    folder.write(group + "stat", "anon 1\nfile 2\ninactive_anon 9\ninactive_file " + files + "\n");
    return *this;
  }
  int64_t available() const { return available_memory(folder.path()); }
  TemporaryFolder folder;
};

struct Machine {   // of the arena of the CPU: what it answers, one after the other, and the last again and again
  explicit Machine(std::vector<int64_t> all) : arena(Arena::of(Device::cpu)) {
    arena.release_cache();
    arena.set_available([all, next = size_t{0}]() mutable { return all[std::min(next++, all.size() - 1)]; });
  }
  ~Machine() {
    arena.set_available({});
    arena.release_cache();
  }
  Arena& arena;
};

Tensor mebibytes(int64_t count) { return Tensor::empty({count * (MiB / 4)}, DType::f32, Device::cpu); }

std::string refused(int64_t count) {
  return message_of([&] { mebibytes(count); });
}

// Layers of width 4096 whose weights, gradients and moments take three times what this machine has in all.
std::string too_large() {
  std::ifstream in("/proc/meminfo");
  std::string name;
  double kibibytes = 0;
  in >> name >> kibibytes;
  const auto layers = static_cast<int64_t>(3 * 1024 * kibibytes / (12.0 * 4096 * 4096 * 16)) + 2;
  return text(" --set model.width=4096 --set model.layers=", std::min<int64_t>(layers, 1024), ' ');
}

}  // namespace

TEST_CASE("available memory: the least of the machine and of every control group") {
  constexpr int64_t machine = 1000000 * int64_t{1024};
  CHECK(FakeMachine("").available() == machine);
  CHECK(FakeMachine("garbage\n0::\n:\n").available() == machine);
  CHECK(FakeMachine("0::/a/b\n").available() == machine);   // of a host: not mounted
  CHECK(FakeMachine("0::/\n").second("", "500000", "200000").available() == 300000);   // a container's own root
  CHECK(FakeMachine("0::/a\n").second("/a", "max", "200000").available() == machine);
  CHECK(FakeMachine("0::/a\n").second("/a", "500000", "200000", "150000").available() == 450000);   // files can go
  CHECK(FakeMachine("0::/a\n").second("/a", "500000", "600000").available() == 0);
  CHECK(FakeMachine("0::/a\n").second("/a", "500000", "100000", "999999").available() == 500000);
  CHECK(FakeMachine("0::/a/b\n").second("/a", "300000", "100000").second("/a/b", "900000", "1").available() == 200000);
  CHECK(FakeMachine("0::/a/b\n").second("/a", "900000", "100000").second("/a/b", "300000", "1").available() == 299999);
  CHECK(FakeMachine("0::/a/b/c\n").second("/a/b", "70000", "0").available() == 70000);
  CHECK(FakeMachine("0::/a\n").second("/b", "300000", "0").available() == machine);   // not ours
  CHECK(FakeMachine("0::/../..\n").second("", "300000", "0").available() == 300000);
  CHECK(FakeMachine("4:memory:/a\n0::/\n").first("/a", "500000", "200000", "50000").available() == 350000);
  CHECK(FakeMachine("4:cpu,memory:/a\n").first("/a", "500000", "200000").available() == 300000);
  CHECK(FakeMachine("4:memoryless,cpu:/a\n").first("/a", "500000", "200000").available() == machine);
  CHECK(FakeMachine("4:memory:/docker/x\n").first("", "500000", "200000").available() == 300000);
  CHECK(FakeMachine("4:memory:/a\n").first("/a", "9223372036854771712", "200000").available() == machine);
  CHECK(FakeMachine("4:memory:/a\n").first("/a", "18446744073709551615", "200000").available() == machine);
  CHECK(FakeMachine("0::/a\n").second("/a", "400000", "0", "0", "sys/fs/cgroup/unified").available() == 400000);
  const TemporaryFolder nothing;
  CHECK(available_memory(nothing.path()) == unlimited);
  CHECK(available_memory() > 0);
  CHECK(available_memory() < unlimited);
}

TEST_CASE("memory that the machine has not is refused by name") {
  CHECK(message_of([] { require_memory("data", 1000, "less"); }) == "no error");
  const std::string message = message_of([] { require_memory("data", unlimited / 2, "use less"); });
  CHECK(message.starts_with("data: needs 4611686018427387903 bytes, and the machine has "));
  CHECK(message.ends_with(" left; hint: use less"));
}

TEST_CASE("arena: what the machine has is the limit, but for one part in 16") {
  const Machine machine({64 * MiB});
  CHECK(machine.arena.capacity() - machine.arena.statistics().reserved == 60 * MiB);
  CHECK(refused(40) == "no error");
  machine.arena.release_cache();
  const std::string message = refused(61);
  CHECK(message.starts_with("arena: no memory for 63963136 bytes while "));
  CHECK(contains_text(message, " that the machine has; the largest owners:"));
}

TEST_CASE("arena: it asks again, for others take memory and give it back") {
  {
    const Machine machine({64 * MiB, 0});
    const Tensor one = mebibytes(1);   // the machine was asked
    const Tensor some = mebibytes(4);
    CHECK(refused(8).starts_with("arena: no memory"));   // beyond an eighth: asked again, and there is nothing now
  }
  {
    const Machine machine({16 * MiB, 640 * MiB});
    CHECK(refused(40) == "no error");
  }
}

TEST_CASE("arena: blocks that nobody uses are given back before memory is refused") {
  const Machine machine({64 * MiB, 16 * MiB, 64 * MiB});
  CHECK(refused(44) == "no error");   // and cached now
  CHECK(machine.arena.statistics().reserved - machine.arena.statistics().in_use >= 44 * MiB);
  CHECK(refused(52) == "no error");
  CHECK(machine.arena.statistics().reserved - machine.arena.statistics().in_use < 60 * MiB);
}

TEST_CASE("arena: a dry run touches nothing, and has what there was before it") {
  const Machine machine({64 * MiB});   // the answer stays, whatever is taken
  std::vector<Tensor> taken;
  {
    const Rehearsal rehearsal(Device::cpu);
    const std::string message = message_of([&] {
      for (int k = 0; k < 100; ++k) taken.push_back(mebibytes(8));
    });
    CHECK(message.starts_with("arena: no memory"));
    CHECK(taken.size() == 7);
    taken.clear();
  }
  CHECK(machine.arena.statistics().reserved == machine.arena.statistics().in_use);
}

TEST_CASE("arena: a limit that is set holds whatever the machine has") {
  const Machine machine({1 * MiB});
  machine.arena.set_limit(machine.arena.statistics().in_use + 32 * MiB);
  CHECK(machine.arena.capacity() == machine.arena.limit());
  CHECK(refused(20) == "no error");
  CHECK(refused(40).starts_with("arena: no memory"));
  machine.arena.set_limit(0);
  machine.arena.release_cache();
  CHECK(refused(20).starts_with("arena: no memory"));
}

TEST_CASE("a model that the machine cannot hold: the summary says so, and a training is refused before it begins") {
  const Outcome summary = tapir("summary " + in_quotes(trained().experiment) + too_large());
  CAPTURE(summary.err);
  CHECK(summary.status == 0);
  CHECK(contains_text(summary.out, " MiB at the peak of a training step: 4 × 16 tokens"));
  CHECK(contains_text(summary.out, "\nthis machine has "));
  CHECK(summary.out.ends_with(" MiB for it: no batch fits\n"));
  const fs::path run = trained().folder.path() / "too-large";
  const std::string message = refusal(train_line("--out " + in_quotes(run) + too_large()));
  CHECK(contains_text(message, "tapir: train: arena: no memory for "));
  CHECK(contains_text(message, " that the machine has; the largest owners: "));
  CHECK(contains_text(message, " blocks."));
  CHECK(message.ends_with("; hint: no batch fits: use a shorter context or a smaller model"));
  CHECK_FALSE(fs::exists(run));
  CHECK_FALSE(contains_text(tapir("summary " + in_quotes(trained().experiment)).out, "this machine has"));
}

#ifndef __SANITIZE_ADDRESS__   // which takes all addresses for itself

TEST_CASE("a limit on addresses: tensors and text beyond it are one line") {
  const fs::path run = trained().folder.path() / "addresses";
  const std::string out = " --out " + in_quotes(run);
  const std::string message = refusal(train_line("--set model.width=4096" + out), "ulimit -v 600000;");
  CHECK(contains_text(message, "tapir: train: arena: no memory for "));
  CHECK(contains_text(message, "; hint: no batch fits: use a shorter context or a smaller model"));
  const TemporaryFolder folder;
  const fs::path large = folder.path() / "large.txt";
  std::ofstream(large) << "a\n";
  fs::resize_file(large, 1'000'000'000);   // of zeros: a hole
  const std::string text_line = train_line("--set data.kind=file --set data.path=" + in_quotes(large) + out);
  CHECK(contains_text(refusal(text_line, "ulimit -v 600000;"),
                      "tapir: memory: there is none left for text, ids and batches; hint: use less text or a smaller batch"));
  CHECK_FALSE(fs::exists(run));
}

#endif

TEST_CASE("text and batches beyond the machine are refused before they are made") {
  const fs::path run = trained().folder.path() / "beyond";
  const std::string out = " --out " + in_quotes(run);
  CHECK(contains_text(refusal(train_line("--set data.train_tokens=1000000000000" + out)),
                      "tapir: data: needs 10000000000000 bytes, and the machine has "));   // a word, a blank, an id
  const TemporaryFolder folder;
  const fs::path large = folder.path() / "large.txt";
  std::ofstream(large) << "a\n";
  fs::resize_file(large, int64_t{8} << 40);
  CHECK(contains_text(refusal(train_line("--set data.kind=file --set data.path=" + in_quotes(large) + out)),
                      "large.txt: needs 8796093022208 bytes, and the machine has "));
  CHECK_FALSE(fs::exists(run));
  if (available_memory() > int64_t{130'000'000'000}) return;   // such a batch is possible
  const std::string message = message_of([] { Sequences({.task = "parity", .size = 1000}).batch("train", 1, 0, 2'100'000); });
  CHECK(message.starts_with("batches: needs 134400000000 bytes, and the machine has "));
}

}  // namespace tapir
