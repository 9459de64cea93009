// Checkpoints: what is committed stays readable, whatever happens to the process, the disk or the files.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <random>
#include <set>

#include "nn/files/file_calls.h"
#include "nn/train/checkpoint.h"
#include "tests/datasets/datasets_helpers.h"
#include "tests/tensor/policies.h"

namespace tapir {
namespace {

using testing::error_of;
using testing::TemporaryFolder;

// Every value follows from the step, so that a loaded checkpoint can be recognised as whole.
Checkpoint checkpoint_of(int64_t step) {
  return {.step = step,
          .tensors = {{"model/w", Tensor::from(std::vector<float>(1000, static_cast<float>(step)))},
                      {"optimiser/w", Tensor::from(std::vector<double>(1000, static_cast<double>(step) / 3))}},
          .state = {{"seed", "17"}, {"square", std::to_string(step * step)}}};
}

bool is_whole(const Checkpoint& loaded) {
  const Checkpoint expected = checkpoint_of(loaded.step);
  return loaded.state == expected.state && loaded.tensors.size() == 2 && loaded.tensors[0].name == "model/w" &&
         loaded.tensors[0].tensor.values<float>() == expected.tensors[0].tensor.values<float>() &&
         loaded.tensors[1].tensor.values<double>() == expected.tensors[1].tensor.values<double>();
}

std::set<std::string> names_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& item : std::filesystem::directory_iterator(folder)) names.insert(item.path().filename().string());
  return names;
}

void flip_byte(const std::filesystem::path& path, int64_t position) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(position);
  const char byte = static_cast<char>(file.get());
  file.seekp(position);
  file.put(static_cast<char>(byte ^ 1));
}

// The step of load_latest(); the checkpoint must be whole. −1: none.
int64_t latest_step(const CheckpointFolder& folder, std::vector<std::string>* notes = nullptr) {
  std::vector<std::string> unused;
  const auto loaded = folder.load_latest(notes ? *notes : unused);
  if (!loaded) return -1;
  CHECK(is_whole(*loaded));
  return loaded->step;
}

}  // namespace

TEST_CASE("a folder keeps the newest checkpoints and the best one") {
  const TemporaryFolder temporary;
  const auto path = temporary.path() / "run" / "checkpoints";
  CheckpointFolder folder(path);
  std::vector<std::string> notes;
  CHECK(latest_step(folder, &notes) == -1);
  CHECK_FALSE(folder.load_best(notes));
  for (int64_t step : {10, 20, 30, 40}) {
    folder.save(checkpoint_of(step), step == 10);
    CHECK(latest_step(CheckpointFolder(path), &notes) == step);
  }
  CHECK(folder.load_best(notes)->step == 10);
  CHECK(notes.empty());
  CHECK(names_in(path) == std::set<std::string>{"manifest.json", "step-00000010.safetensors", "step-00000030.safetensors",
                                                "step-00000040.safetensors"});
  folder.save(checkpoint_of(50), true);
  CHECK(folder.load_best(notes)->step == 50);
  CHECK(names_in(path) ==
        std::set<std::string>{"manifest.json", "step-00000040.safetensors", "step-00000050.safetensors"});
}

TEST_CASE("a step that is saved again does not touch its committed file") {
  const TemporaryFolder temporary;
  CheckpointFolder folder(temporary.path());
  folder.save(checkpoint_of(5), false);
  const auto written = std::filesystem::last_write_time(temporary.path() / "step-00000005.safetensors");
  folder.save(checkpoint_of(5), true);
  CHECK(std::filesystem::last_write_time(temporary.path() / "step-00000005.safetensors") == written);
  CHECK(names_in(temporary.path()).contains("step-00000005.2.safetensors"));
  CHECK(latest_step(folder) == 5);
}

TEST_CASE("damage to the newest checkpoint: the one before is loaded, and a note says why") {
  const TemporaryFolder temporary;
  CheckpointFolder folder(temporary.path());
  folder.save(checkpoint_of(10), false);
  folder.save(checkpoint_of(20), false);
  const auto newest = temporary.path() / "step-00000020.safetensors";
  const int64_t size = static_cast<int64_t>(std::filesystem::file_size(newest));
  std::string reason;
  SUBCASE("truncated") {
    std::filesystem::resize_file(newest, static_cast<uintmax_t>(size - 100));
    reason = text("expected ", size, " bytes, found ", size - 100);
  }
  SUBCASE("emptied") {
    std::filesystem::resize_file(newest, 0);
    reason = text("expected ", size, " bytes, found 0");
  }
  SUBCASE("a flipped bit") {
    flip_byte(newest, size / 2);
    reason = "expected SHA-256 ";
  }
  SUBCASE("removed") {
    std::filesystem::remove(newest);
    reason = "opening failed: No such file or directory";
  }
  std::vector<std::string> notes;
  CHECK(latest_step(folder, &notes) == 10);
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].starts_with(text("fell back to the checkpoint of step 10 because of ", newest.string(), ": ", reason)));

  // The run goes on from step 10: the damaged checkpoint of a later step goes, the good one stays.
  folder.save(checkpoint_of(15), false);
  notes.clear();
  CHECK(latest_step(folder, &notes) == 15);
  CHECK(notes.empty());
  CHECK(names_in(temporary.path()) ==
        std::set<std::string>{"manifest.json", "step-00000010.safetensors", "step-00000015.safetensors"});
}

TEST_CASE("when no checkpoint is readable the error says why for each") {
  const TemporaryFolder temporary;
  CheckpointFolder folder(temporary.path());
  folder.save(checkpoint_of(1), true);
  folder.save(checkpoint_of(2), false);
  std::filesystem::resize_file(temporary.path() / "step-00000001.safetensors", 8);
  std::filesystem::remove(temporary.path() / "step-00000002.safetensors");
  std::vector<std::string> notes;
  const std::string error = error_of([&] { folder.load_latest(notes); });
  CHECK(error.starts_with(temporary.path().string() + ": no checkpoint is readable: "));
  CHECK(error.find("step-00000002.safetensors: opening failed") < error.find("step-00000001.safetensors: expected "));
  CHECK(error.find("step-00000001.safetensors: expected ") != error.npos);
  CHECK(error_of([&] { folder.load_best(notes); }).find("bytes, found 8") != std::string::npos);
}

TEST_CASE("a damaged or lost manifest is rebuilt from the files") {
  const TemporaryFolder temporary;
  CheckpointFolder folder(temporary.path());
  folder.save(checkpoint_of(1), false);
  folder.save(checkpoint_of(2), false);
  const auto manifest = temporary.path() / "manifest.json";
  std::string reason;
  SUBCASE("lost") {
    std::filesystem::remove(manifest);
    reason = "is missing";
  }
  SUBCASE("empty") {
    temporary.write("manifest.json", "");
    reason = "is not a manifest: ";
  }
  SUBCASE("of another kind") {
    temporary.write("manifest.json", R"({"format": "else"})");
    reason = R"(expected format "tapir checkpoints 1", found "else")";
  }
  SUBCASE("pointing elsewhere") {
    temporary.write("manifest.json", R"({"format": "tapir checkpoints 1", "best": "", "checkpoints":
        [{"file": "step-/../../x.safetensors", "step": 1, "bytes": 1, "sha256": ""}]})");
    reason = R"("step-/../../x.safetensors" is not a checkpoint's name)";
  }
  SUBCASE("far too large") {
    temporary.write("manifest.json", std::string(600'000, '['));
    reason = "expected at most 524288 bytes, found 600000";
  }
  SUBCASE("with a step that is no step") {
    temporary.write("manifest.json", R"({"format": "tapir checkpoints 1", "best": "", "checkpoints":
        [{"file": "step-00000001.safetensors", "step": 1e300, "bytes": 1, "sha256": ""}]})");
    reason = R"("step" must be a whole number below 2^63, found 1e+300)";
  }
  SUBCASE("with an unlisted best") {
    temporary.write("manifest.json", R"({"format": "tapir checkpoints 1", "best": "x", "checkpoints": []})");
    reason = R"(best checkpoint "x" is not listed)";
  }
  std::vector<std::string> notes;
  CHECK(latest_step(folder, &notes) == 2);
  REQUIRE(notes.size() == 1);
  CHECK(notes[0].starts_with(manifest.string() + ": " + reason));
  CHECK(notes[0].ends_with("; taking the 2 checkpoint files of the folder as they are"));
}

TEST_CASE("what a checkpoint cannot be is refused") {
  const TemporaryFolder temporary;
  CHECK(error_of([&] { CheckpointFolder(temporary.path(), 0); }).ends_with(": at least 1 checkpoint must be kept, not 0"));
  CheckpointFolder folder(temporary.path());
  CHECK(error_of([&] { folder.save({.step = -1, .tensors = {}, .state = {}}, false); }).ends_with(": step -1 is negative"));
  CHECK(error_of([&] { folder.save({.step = 1, .tensors = {}, .state = {{"step", "2"}}}, false); })
            .ends_with(": the state's key \"step\" is taken"));
  save_safetensors(temporary.path() / "step-00000009.safetensors", {}, {{"step", "9 "}});   // not written by save()
  std::vector<std::string> notes;
  CHECK(error_of([&] { folder.load_latest(notes); })
            .ends_with("step-00000009.safetensors: step must be a non-negative integer, found \"9 \""));
}

namespace {

int calls_left;   // until the call that fails
int error_number;

bool fails_now() {
  errno = error_number;
  return calls_left-- == 0;
}

ssize_t failing_write(int descriptor, const void* bytes, size_t size) {
  if (fails_now()) return -1;
  return ::write(descriptor, bytes, size);
}
int failing_fsync(int descriptor) { return fails_now() ? -1 : ::fsync(descriptor); }
int failing_rename(const char* from, const char* to) { return fails_now() ? -1 : ::rename(from, to); }

}  // namespace

TEST_CASE("whichever call fails while saving, an Error comes and no committed checkpoint is lost") {
  const FileCalls failing[] = {{.write = failing_write}, {.fsync = failing_fsync}, {.rename = failing_rename}};
  const char* const step[] = {"write", "fsync", "rename"};
  const int least_calls[] = {4, 4, 2};   // header, two tensors and manifest; twice file and folder; twice
  for (int kind = 0; kind < 3; ++kind) {
    int failures = 0;
    for (;; ++failures) {
      const TemporaryFolder temporary;
      CheckpointFolder folder(temporary.path());
      folder.save(checkpoint_of(1), false);
      calls_left = failures;
      error_number = ENOSPC;
      file_calls() = failing[kind];
      const std::string error = error_of([&] { folder.save(checkpoint_of(2), true); });
      file_calls() = FileCalls{};
      std::vector<std::string> notes;
      const int64_t loaded = latest_step(folder, &notes);
      CHECK(notes.empty());
      if (error.empty()) {
        CHECK(loaded == 2);
        break;
      }
      CHECK((loaded == 1 || loaded == 2));
      CHECK(error.find(step[kind]) != error.npos);
      CHECK(error.find("No space left on device; hint: free disk space") != error.npos);
      for (const std::string& name : names_in(temporary.path())) CHECK(name.find(".tmp") == name.npos);
      folder.save(checkpoint_of(3), false);
      CHECK(latest_step(folder) == 3);
    }
    CHECK(failures >= least_calls[kind]);
  }
}

TEST_CASE("kill -9 at random times: every committed checkpoint survives") {
  constexpr int trials = 50;
  const OnDevice cpu(Device::cpu);   // a child of fork() has no device
  const TemporaryFolder temporary;
  std::mt19937 random(std::random_device{}());
  int64_t committed = -1;
  for (int trial = 0; trial < trials; ++trial) {
    int report[2];
    REQUIRE(::pipe(report) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
      CheckpointFolder folder(temporary.path());
      for (int64_t step = committed + 1;; ++step) {
        folder.save(checkpoint_of(step), step % 3 == 0);
        if (::write(report[1], &step, sizeof step) < 0) ::_exit(1);
      }
    }
    REQUIRE(child > 0);
    ::close(report[1]);
    // Every other child commits at least once, so that the run gets somewhere on the slowest disk, too.
    if (trial % 2 == 1) REQUIRE(::read(report[0], &committed, sizeof committed) == sizeof committed);
    ::usleep(std::uniform_int_distribution<useconds_t>(0, 15'000)(random));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    CHECK(WIFSIGNALED(status));
    for (int64_t step; ::read(report[0], &step, sizeof step) == sizeof step;) committed = step;
    ::close(report[0]);

    std::vector<std::string> notes;
    const int64_t loaded = latest_step(CheckpointFolder(temporary.path()), &notes);
    CHECK(loaded >= committed);
    CHECK(loaded <= committed + 1);
    for (const std::string& note : notes) CHECK(note.find("manifest.json: is missing") != note.npos);
    committed = loaded;
  }
  CHECK(committed >= trials / 2 - 1);
}

}  // namespace tapir
