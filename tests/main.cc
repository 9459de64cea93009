// All tests run in poison mode: memory that nobody wrote is NaN. They take one thread unless they ask for more, because
// ctest runs them side by side. With DEVICE=cuda in the environment tensors are on that device.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdlib>
#include <string_view>

#include "tensor/arena.h"
#include "tensor/parallel.h"

int main(int argc, char** argv) {
  tapir::Arena::of(tapir::Device::cpu).set_poison(true);
  tapir::set_threads(1);
  if (const char* device = std::getenv("DEVICE"); device && std::string_view(device) == "cuda") {
    tapir::set_default_device(tapir::Device::cuda);
    tapir::Arena::of(tapir::Device::cuda).set_poison(true);
  }
  return doctest::Context(argc, argv).run();
}
