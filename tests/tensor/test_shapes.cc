// Sizes that overflow, axes that are not there, and tensors that are not: an Error each, whichever function is called.
#include <doctest/doctest.h>

#include <random>

#include "tensor/random.h"
#include "tests/length.h"
#include "tests/messages.h"
#include "tests/tensor/shape_calls.h"

using namespace tapir;

TEST_CASE("shapes: random calls give the right shape, or an error") {
  std::mt19937_64 random(17);
  for (int64_t round = 0; round < cases(20'000, 1'000'000); ++round) {
    std::array<uint8_t, 64> bytes;
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    CAPTURE(round);
    REQUIRE(ShapeCalls(bytes.data(), bytes.size()).fault() == "");
  }
}

TEST_CASE("shapes: sizes that overflow") {
  constexpr int64_t two32 = int64_t{1} << 32, two61 = int64_t{1} << 61, largest = std::numeric_limits<int64_t>::max();
  const Tensor x = Tensor::zeros({2, 3}, DType::f64);
  CHECK(message_of([] { Tensor::empty({two32, two32}); }) ==
        "tensor: shape [4294967296,4294967296] has more than 2⁶⁰ − 1 elements");
  CHECK(message_of([] { Tensor::zeros({two61}, DType::f64); }).find("tensor: shape [2305843009213693952] has more") == 0);
  CHECK(message_of([] { Tensor::empty({0, two32, two32}); }).find("tensor: shape [0,4294967296,4294967296] has more") == 0);
  CHECK(message_of([&] { pad(x, 0, two61, 0); }) ==
        "pad: widths 2305843009213693952 and 0 are more than any tensor has; axis 0 of shape [2,3]");
  CHECK(message_of([&] { pad(x, 0, two61 / 2 - 1, 0); }).find("pad: shape [1152921504606846977,3] has more") == 0);
  CHECK(message_of([&] { view::slice(x, 1, 1, largest); }) ==
        "slice: begin 1 and length 9223372036854775807 leave axis 1 of shape [2,3]");
  CHECK(message_of([] { view::expand(Tensor::zeros({1}), {two61}); }).find("expand: shape [2305843009213693952] has") == 0);
  CHECK(message_of([&] { view::reshape(x, {two32, two32, -1}); }) ==
        "reshape: shape [2,3] does not fill [4294967296,4294967296,-1]");
  CHECK(message_of([] { Arena::of(Device::cpu).allocate(-1); }) == "arena: a block cannot have -1 bytes");
  CHECK(message_of([&] { stack({view::reshape(x, {2, 3, 1, 1, 1, 1, 1, 1})}, 0); }) ==
        "stack: shape [2,3,1,1,1,1,1,1] has no room for another axis");
  const Tensor wide = view::expand(Tensor::zeros({1}), {int64_t{1} << 46});   // a view costs nothing, however large
  CHECK(wide.elements() == int64_t{1} << 46);
  CHECK_THROWS_AS(wide.copy(), OutOfMemory);
  CHECK_THROWS_AS(Arena::of(Device::cpu).allocate(largest), OutOfMemory);
}

TEST_CASE("shapes: nothing takes no time, whatever its other axes") {
  const int64_t many = int64_t{1} << 50;
  const Tensor x = Tensor::zeros({many, 0}), none = Tensor::zeros({0}), y = Tensor::zeros({many, 1, 0});
  CHECK(sum(x, 0).shape() == Shape{0});
  CHECK(batch_norm(x, none, none).y.shape() == x.shape());
  CHECK(gather(y, 1, Tensor::zeros({many, 1, 0}, DType::i32)).shape() == y.shape());
}

TEST_CASE("shapes: axes that are not there, and views that leave their storage") {
  const Tensor x = Tensor::zeros({2, 3}, DType::f64);
  CHECK(message_of([&] { x.size(2); }) == "size: axis 2 does not exist in shape [2,3]");
  CHECK(message_of([&] { x.size(-3); }) == "size: axis -3 does not exist in shape [2,3]");
  CHECK(message_of([&] { x.stride(5); }) == "stride: axis 5 does not exist in shape [2,3]");
  CHECK(message_of([&] { (void)x.shape()[7]; }) == "shape: axis 7 does not exist in shape [2,3]");
  CHECK(message_of([&] { x.shape().with(-4, 1); }) == "shape: axis -4 does not exist in shape [2,3]");
  CHECK(message_of([&] { x.shape().without(2); }) == "shape: axis 2 does not exist in shape [2,3]");
  CHECK(message_of([&] { x.strided({7}, {1}); }) == "strided: a view of shape [7] leaves its storage of 6 elements");
  CHECK(message_of([&] { x.strided({2}, {-1}); }) == "strided: a view of shape [2] leaves its storage of 6 elements");
  CHECK(message_of([&] { x.strided({}, {}, 6); }) == "strided: a view of shape [] leaves its storage of 6 elements");
  CHECK(message_of([&] { x.strided({3}, {int64_t{1} << 62}); }).find("strided: ") == 0);
  CHECK(x.strided({2}, {-5}, 5).size(0) == 2);
}

TEST_CASE("shapes: of an undefined tensor every function says so") {
  Tensor none, x = Tensor::zeros({2, 3});
  const RandomKey key{.seed = 1, .step = 0, .site = 0};
  const std::vector<std::pair<std::string, std::function<void()>>> of_itself = {
      {"shape", [&] { none.shape(); }},
      {"rank", [&] { none.rank(); }},
      {"size", [&] { none.size(0); }},
      {"elements", [&] { none.elements(); }},
      {"strides", [&] { none.strides(); }},
      {"stride", [&] { none.stride(0); }},
      {"offset", [&] { none.offset(); }},
      {"dtype", [&] { none.dtype(); }},
      {"device", [&] { none.device(); }},
      {"is_contiguous", [&] { none.is_contiguous(); }},
      {"contiguous", [&] { none.contiguous(); }},
      {"copy", [&] { none.copy(); }},
      {"to", [&] { none.to(DType::f32); }},
      {"to", [&] { none.to(Device::cpu); }},
      {"on_host", [&] { none.on_host(); }},
      {"data", [&] { none.data<float>(); }},
      {"values", [&] { none.values<float>(); }},
      {"item", [&] { none.item(); }},
      {"strided", [&] { none.strided({}, {}); }},
      {"version", [&] { none.version(); }},
      {"wrote", [&] { none.wrote(); }}};
  for (const auto& [function, call] : of_itself)
    CHECK(message_of(call) == function + ": the tensor has no value; hint: it was never given one");

  const std::vector<std::pair<std::string, std::function<void()>>> with_it = {
      {"transpose: x", [&] { view::transpose(none, 0, 0); }},
      {"slice: x", [&] { view::slice(none, 0, 0, 0); }},
      {"expand: x", [&] { view::expand(none, {1}); }},
      {"reshape: x", [&] { view::reshape(none, {1}); }},
      {"reshape: x", [&] { view::resolve({1}, none); }},
      {"fill_: y", [&] { fill_(none, 1); }},
      {"copy_: y", [&] { copy_(none, x); }},
      {"copy_: x", [&] { copy_(x, none); }},
      {"add_: y", [&] { add_(none, x); }},
      {"add_: x", [&] { add_(x, none); }},
      {"scale_: y", [&] { scale_(none, 1); }},
      {"uniform_: y", [&] { uniform_(none, 0, 1, key); }},
      {"normal_: y", [&] { normal_(none, 0, 1, key); }},
      {"truncated_normal_: y", [&] { truncated_normal_(none, 0, 1, key); }},
      {"embedding: the index tensor", [&] { embedding(x, none); }},
      {"scatter_rows: the index tensor", [&] { scatter_rows(x, none, 2); }},
      {"gather: the index tensor", [&] { gather(x, 0, none); }},
      {"index_select: the index tensor", [&] { index_select(x, 0, none); }},
      {"scatter_add: the index tensor", [&] { scatter_add(x, 0, none, x); }},
      {"where: the condition", [&] { where(none, x, x); }},
      {"cross_entropy: the target tensor", [&] { cross_entropy(x, none); }}};
  for (const auto& [function, call] : with_it) CHECK(message_of(call) == function + " has no value");

  CHECK(!none.detach().defined());
  CHECK(!none.shares_storage(Tensor()));
  CHECK(text(none) == "undefined");
}
