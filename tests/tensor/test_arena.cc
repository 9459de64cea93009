// The arena: statistics, caching, alignment, poison, and running out of memory without losing anything.
#include "tensor/arena.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "tensor/cuda.h"
#include "tensor/tensor.h"
#include "tests/messages.h"

using namespace tapir;

TEST_CASE("arena: statistics follow tensors, and freed blocks are used again") {
  Arena& arena = Arena::of(default_device());
  arena.release_cache();
  arena.reset_peak();
  const MemoryStatistics before = arena.statistics();
  CHECK(before.reserved == before.in_use);
  {
    const Tensor x = Tensor::zeros({1000}), y = x.copy();
    const MemoryStatistics now = arena.statistics();
    CHECK(now.in_use - before.in_use >= 8000);
    CHECK(now.in_use - before.in_use <= 8000 * 9 / 8 + 128);
    CHECK(now.allocations - before.allocations == 2);
    CHECK(now.reserved == now.in_use);
  }
  const MemoryStatistics after = arena.statistics();
  CHECK(after.in_use == before.in_use);
  CHECK(after.peak - before.in_use >= 8000);
  CHECK(after.reserved - before.reserved >= 8000);
  const Tensor again = Tensor::zeros({1000});
  CHECK(arena.statistics().reserved == after.reserved);
  arena.reset_peak();
  CHECK(arena.statistics().peak == arena.statistics().in_use);
  arena.release_cache();
  CHECK(arena.statistics().reserved == arena.statistics().in_use);
}

TEST_CASE("arena: blocks are aligned to 64 bytes, do not overlap, and waste at most an eighth") {
  Arena& arena = Arena::of(Device::cpu);
  std::vector<std::pair<char*, int64_t>> blocks;
  for (int64_t bytes : {0, 1, 63, 64, 65, 100, 1000, 4096, 4097, 100000, 1 << 20, (1 << 21) + 1, 5000000}) {
    const int64_t before = arena.statistics().in_use;
    char* block = static_cast<char*>(arena.allocate(bytes));
    const int64_t size = arena.statistics().in_use - before;
    CHECK(reinterpret_cast<uintptr_t>(block) % 64 == 0);
    CHECK(size >= bytes);
    CHECK(size <= bytes + bytes / 8 + 64);
    std::memset(block, 1, static_cast<size_t>(bytes));
    for (const auto& [other, extent] : blocks) CHECK((block >= other + extent || block + bytes <= other));
    blocks.emplace_back(block, bytes);
  }
  for (const auto& [block, bytes] : blocks) arena.release(block);
}

TEST_CASE("arena: fresh memory is poisoned, used or not before") {
  for (int round = 0; round < 2; ++round) {
    Tensor x = Tensor::empty({100}, DType::f32, Device::cpu), y = Tensor::empty({100}, DType::f64, Device::cpu);
    for (int i = 0; i < 100; ++i) CHECK((std::isnan(x.data<float>()[i]) && std::isnan(y.data<double>()[i])));
    std::memset(x.data<float>(), 0, 400);
    std::memset(y.data<double>(), 0, 800);
  }
}

TEST_CASE("arena: out of memory names the modules that hold most, and the process goes on") {
  Arena& arena = Arena::of(default_device());
  Tensor small, large;
  {
    const Scope scope("encoder");
    small = Tensor::zeros({1000});
  }
  {
    const Scope scope("decoder.block.1");
    large = Tensor::zeros({100000});
  }
  const int64_t used = arena.statistics().in_use;
  arena.set_limit(used + 10000);
  std::string message;
  try {
    const Scope scope("head");
    Tensor::zeros({1000000});
  } catch (const OutOfMemory& error) {
    message = error.what();
  }
  arena.set_limit(0);
  CAPTURE(message);
  CHECK(contains_text(message, "arena: no memory for 4000000 bytes while "));
  CHECK(contains_text(message, "the largest owners: "));
  CHECK(contains_text(message, "decoder.block.1=4"));
  CHECK(contains_text(message, " encoder=4"));
  CHECK(message.find("decoder.block.1=") < message.find(" encoder="));
  CHECK(contains_text(message, "(in head); hint: use a smaller batch or a shorter context"));
  CHECK(arena.statistics().in_use == used);
  CHECK(Tensor::zeros({1000000}).elements() == 1000000);
}

TEST_CASE("arena: a tensor that no machine can hold is out of memory, too") {
  const int64_t used = Arena::of(default_device()).statistics().in_use;
  CHECK_THROWS_AS(Tensor::empty({int64_t{1} << 46}), OutOfMemory);
  CHECK(Arena::of(default_device()).statistics().in_use == used);
}

TEST_CASE("arena: a device that this build lacks is an error" * doctest::skip(cuda::built)) {
  CHECK(message_of([] { Tensor::zeros({2}, DType::f32, Device::cuda); }) ==
        "device: this build of tapir has no cuda; hint: use cpu, or build with -DTAPIR_CUDA=ON");
}
