// Random numbers: published vectors of Philox, and the distributions that are made from it.
#include "tensor/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tensor/threads.h"
#include "tensor/view.h"
#include "tests/messages.h"

using namespace tapir;

TEST_CASE("random: Philox4x32-10 gives the vectors of its authors (Random123, kat_vectors)") {
  CHECK(philox({0, 0, 0, 0}, 0, 0) == Philox4{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const uint32_t ones = 0xffffffff;
  CHECK(philox({ones, ones, ones, ones}, ones, ones) == Philox4{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0) ==
        Philox4{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("random: the layout of counter and key is fixed, for old checkpoints' sake") {
  const RandomKey key{.seed = 0x299f31d0a4093822, .step = 0x03707344, .site = 0x13198a2e};
  CHECK(random_block(key, 0x85a308d3243f6a88) == Philox4{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
  CHECK(site_of("") == 2166136261u);
  CHECK(site_of("a") == 0xe40c292cu);   // FNV-1a's published value
  CHECK(site_of("foobar") == 0xbf9cf968u);
}

TEST_CASE("random: uniform numbers are inside of (0, 1), normal ones finite at the ends") {
  CHECK(uniform(0) == 0x1p-24f);
  CHECK(uniform(0xffffffff) == 1 - 0x1p-24f);
}

TEST_CASE("random: moments and tails of the fills") {
  Tensor u = Tensor::empty({400000}, DType::f64), z = Tensor::empty({400000}, DType::f64);
  uniform_(u, -1, 3, {.seed = 5});
  normal_(z, 2, 0.5, {.seed = 6});
  double mean = 0, square = 0;
  for (const double value : u.values<double>()) {
    REQUIRE((value > -1 && value < 3));
    mean += value / 4e5;
    square += (value - 1) * (value - 1) / 4e5;
  }
  CHECK(mean == doctest::Approx(1).epsilon(0.01));
  CHECK(square == doctest::Approx(16.0 / 12).epsilon(0.01));
  double first = 0, second = 0, third = 0, fourth = 0, beyond_two = 0, neighbours = 0, before = 0;
  for (const double value : z.values<double>()) {
    const double x = (value - 2) / 0.5;
    first += x / 4e5;
    second += x * x / 4e5;
    third += x * x * x / 4e5;
    fourth += x * x * x * x / 4e5;
    beyond_two += (std::fabs(x) > 2) / 4e5;
    neighbours += x * before / 4e5;
    before = x;
  }
  CHECK(std::fabs(first) < 0.008);   // 5 standard errors
  CHECK(std::fabs(second - 1) < 0.012);
  CHECK(std::fabs(third) < 0.02);
  CHECK(std::fabs(fourth - 3) < 0.08);
  CHECK(std::fabs(beyond_two - 0.0455) < 0.0017);
  CHECK(std::fabs(neighbours) < 0.008);
}

TEST_CASE("random: an element depends on its key and number alone") {
  const RandomKey key{.seed = 1, .step = 2, .site = 3};
  Tensor all = Tensor::empty({70001}, DType::f64), again = all.copy(), narrow = Tensor::empty({101}, DType::f32);
  normal_(all, 0, 1, key);
  const int before = threads();
  set_threads(before == 1 ? 3 : 1);
  normal_(again, 0, 1, key);
  set_threads(before);
  CHECK(again.values<double>() == all.values<double>());
  normal_(narrow, 0, 1, key);
  const std::vector<double> wide = all.values<double>();
  for (int64_t i = 0; i < 101; ++i) CHECK(narrow.values<float>()[i] == static_cast<float>(wide[i]));
  for (const RandomKey& other : {RandomKey{2, 2, 3}, RandomKey{1, 3, 3}, RandomKey{1, 2, 4}}) {
    normal_(again, 0, 1, other);
    CHECK(again.values<double>() != all.values<double>());
  }
  const uint64_t version = again.version();
  uniform_(again, 0, 1, key);
  CHECK(again.version() > version);
}

TEST_CASE("random: strided and integer tensors are refused") {
  Tensor turned = view::transpose(Tensor::zeros({2, 3}), 0, 1), integers = Tensor::zeros({2}, DType::i32);
  CHECK(message_of([&] { uniform_(turned, 0, 1, {}); }) ==
        "uniform_: needs contiguous memory, got a strided view of shape [3,2]");
  CHECK(message_of([&] { normal_(integers, 0, 1, {}); }) == "normal_: needs f32 or f64, not i32");
}
