// All tests run in poison mode: memory that nobody wrote is NaN.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "tensor/arena.h"

int main(int argc, char** argv) {
  tapir::Arena::of(tapir::Device::cpu).set_poison(true);
  return doctest::Context(argc, argv).run();
}
