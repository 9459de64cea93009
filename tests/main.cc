// All tests run in poison mode: memory that nobody wrote is NaN. They take one thread unless they ask for more, because
// ctest runs them side by side.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "tensor/arena.h"
#include "tensor/parallel.h"

int main(int argc, char** argv) {
  tapir::Arena::of(tapir::Device::cpu).set_poison(true);
  tapir::set_threads(1);
  return doctest::Context(argc, argv).run();
}
