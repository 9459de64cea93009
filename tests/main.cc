// All tests run in poison mode: memory that nobody wrote is NaN. They take one thread unless they ask for more, because
// ctest runs them side by side. With DEVICE=cuda in the environment tensors are on that device; POISON=off leaves memory as it
// is, for tools that look for reads of it themselves.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tensor/arena.h"
#include "tensor/error.h"
#include "tensor/threads.h"

int main(int argc, char** argv) try {
  const auto asks = [](const char* name, std::string_view value) {
    const char* const found = std::getenv(name);
    return found && found == value;
  };
  const bool poison = !asks("POISON", "off");
  tapir::Arena::of(tapir::Device::cpu).set_poison(poison);
  tapir::set_threads(1);
  if (asks("DEVICE", "cuda")) {
    tapir::set_default_device(tapir::Device::cuda);
    tapir::Arena::of(tapir::Device::cuda).set_poison(poison);
  }
  return doctest::Context(argc, argv).run();
} catch (const tapir::Error& error) {   // there is no such device
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
