// The loop engines: right sums, and the same bits at any number of threads.
#include "tensor/parallel.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "tensor/tensor.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

struct Harmonic {   // terms whose sum depends on the order
  HD float operator()(int64_t i) const { return (i % 2 ? -1.0f : 1.0f) / static_cast<float>(i % 9973 + 1); }
};

struct Entry {
  int64_t columns;
  HD float operator()(int64_t i, int64_t j) const { return Harmonic{}(i * columns + j); }
};

struct Write {
  int64_t* y;
  HD void operator()(int64_t i) const { y[i] += i * i; }
};

struct Set {
  float* x;
  int64_t k;
  HD void operator()(int64_t i) const { x[i] = Harmonic{}(7 * k + i); }
};

struct Doubled {
  float* x;
  HD void operator()(int64_t i) const { x[i] *= 2; }
};

struct Term {
  const float* x;
  HD float operator()(int64_t i) const { return x[i]; }
};

struct RowSum {
  int64_t n;
  float *sums, *maxima, *doubled;
  template <class Lanes> HD void operator()(const Lanes& team, int64_t row) const {
    sums[row] = team.sum(n, [&](int64_t i) { return Harmonic{}(row * n + i); });
    maxima[row] = team.max(n, [&](int64_t i) { return Harmonic{}(row * n + i); });
    team.each(n, [&](int64_t i) { doubled[row * n + i] = 2 * Harmonic{}(row * n + i); });
  }
};

struct ThreadCount {
  explicit ThreadCount(int count) : before(threads()) { set_threads(count); }
  ~ThreadCount() { set_threads(before); }
  int before;
};

// The tree of a team of 32 lanes, as its comment tells it.
float team_sum(int64_t begin, int64_t n) {
  std::vector<float> lane(32, 0);
  for (int64_t i = 0; i < n; ++i) lane[i % 32] += Harmonic{}(begin + i);
  for (int half = 16; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) lane[l] += lane[l + half];
  return lane[0];
}

// Affine maps y ↦ a y + b one after the other: associative, but not commutative.
struct Maps {
  struct State {
    double a = 1, b = 0;
  };
  State* y;
  HD State element(int64_t i) const { return {i % 3 ? 0.5 : -1.25, static_cast<double>(i % 7 - 3)}; }
  HD static State join(State first, State then) { return {first.a * then.a, then.a * first.b + then.b}; }
  HD void store(int64_t i, State state) const { y[i] = state; }
};

}  // namespace

TEST_CASE("parallel: every element is visited once") {
  for (const int count : {1, 2, 3}) {
    const ThreadCount scope(count);
    for (const int64_t n : {0, 1, 16383, 16384, 16385, 100000}) {
      std::vector<int64_t> y(n, 1);
      for_each(Device::cpu, n, Write{y.data()});
      bool right = true;
      for (int64_t i = 0; i < n; ++i) right = right && y[i] == 1 + i * i;
      CHECK(right);
    }
  }
}

TEST_CASE("parallel: several loops at once do what each does alone, on any device") {
  const std::vector<int64_t> lengths{0, 5, 16384, 0, 1, 40000, 16385, 0};
  const Device device = default_device();
  std::vector<Tensor> together, alone;
  std::vector<Loop<Doubled>> loops;
  std::vector<Loop<Term>> terms;
  const auto count = static_cast<int64_t>(lengths.size());
  const Tensor sums = Tensor::zeros({count}, DType::f32, device), expected = Tensor::zeros({count}, DType::f32, device);
  for (int64_t k = 0; k < count; ++k) {
    for (auto* list : {&together, &alone}) {
      list->push_back(Tensor::empty({lengths[k]}, DType::f32, device));
      for_each(device, lengths[k], Set{list->back().data<float>(), k});
    }
    loops.push_back({lengths[k], {together[k].data<float>()}});
    for_each(device, lengths[k], Doubled{alone[k].data<float>()});
    terms.push_back({lengths[k], {together[k].data<float>()}});
    full_sum(device, lengths[k], Term{alone[k].data<float>()}, expected.data<float>() + k);
  }
  for_each(device, loops);
  full_sum(device, terms, sums.data<float>());
  for (int64_t k = 0; k < count; ++k) CHECK(together[k].values<float>() == alone[k].values<float>());
  CHECK(sums.values<float>() == expected.values<float>());
  CHECK(sums.values<float>()[1] != 0);
  for_each(device, std::vector<Loop<Doubled>>{});
}

TEST_CASE("parallel: teams sum along their documented tree") {
  for (const int64_t n : {0, 1, 31, 32, 33, 64, 100, 1000}) {
    const int64_t rows = 70;
    std::vector<float> sums(rows), maxima(rows), doubled(rows * n);
    for_each_row(Device::cpu, rows, n, RowSum{n, sums.data(), maxima.data(), doubled.data()});
    for (int64_t row = 0; row < rows; ++row) {
      CHECK(sums[row] == team_sum(row * n, n));
      float largest = -HUGE_VALF;
      for (int64_t i = 0; i < n; ++i) {
        largest = std::max(largest, Harmonic{}(row * n + i));
        REQUIRE(doubled[row * n + i] == 2 * Harmonic{}(row * n + i));
      }
      CHECK(maxima[row] == largest);
    }
  }
}

TEST_CASE("parallel: sums are right, and have the same bits at any number of threads") {
  for (const int64_t n : {0, 1, 1000, 16385, 1000003}) {
    double exact = 0;
    for (int64_t i = 0; i < n; ++i) exact += Harmonic{}(i);
    float first = 0;
    full_sum(Device::cpu, n, Harmonic{}, &first);
    CHECK(std::fabs(first - exact) <= 1e-5 * (1 + std::log(1.0 + static_cast<double>(n))));
    for (const int count : {1, 2, 3, 7}) {
      const ThreadCount scope(count);
      float again = 0;
      full_sum(Device::cpu, n, Harmonic{}, &again);
      CHECK(again == first);
    }
  }
  for (const auto& [rows, columns] : {std::pair<int64_t, int64_t>{0, 3}, {1, 1}, {63, 5}, {65, 3000}, {10000, 7}, {5, 0}}) {
    std::vector<float> first(columns, NAN);
    column_sum(Device::cpu, rows, columns, Entry{columns}, first.data());
    for (int64_t j = 0; j < columns; ++j) {
      double exact = 0;
      for (int64_t i = 0; i < rows; ++i) exact += Entry{columns}(i, j);
      REQUIRE(std::fabs(first[j] - exact) <= 1e-4);
    }
    for (const int count : {1, 2, 3, 7}) {
      const ThreadCount scope(count);
      std::vector<float> again(columns, NAN);
      column_sum(Device::cpu, rows, columns, Entry{columns}, again.data());
      CHECK(again == first);
    }
  }
}

TEST_CASE("parallel: the number of threads has bounds") {
  CHECK(message_of([] { set_threads(0); }) == "threads: expected 1 to 1024, got 0");
  CHECK(message_of([] { set_threads(2000); }) == "threads: expected 1 to 1024, got 2000");
}

TEST_CASE("parallel: a single long row is shared by all threads, with the same bits") {
  const int64_t n = 9 * elements_per_range + 5;
  float expected[2] = {0, 0};
  for (const int count : {1, 2, 3, 7}) {
    const ThreadCount scope(count);
    std::vector<float> doubled(n);
    float sum = 0, maximum = 0;
    for_each_row(Device::cpu, 1, n, RowSum{n, &sum, &maximum, doubled.data()});
    if (count == 1) expected[0] = sum, expected[1] = maximum;
    CHECK(sum == expected[0]);
    CHECK(maximum == expected[1]);
    float total = 0;
    full_sum(Device::cpu, n, Harmonic{}, &total);
    CHECK(sum == total);
    CHECK(maximum == 1);
    CHECK(doubled[n - 1] == 2 * Harmonic{}(n - 1));
  }
}

TEST_CASE("parallel: the largest of a row passes over NaN, wherever it stands") {
  const int64_t n = 100;
  for (int64_t place = 0; place < n; ++place)
    CHECK(Team{}.max(n, [=](int64_t i) { return i == place ? NAN : static_cast<float>(i); }) ==
          static_cast<float>(place == n - 1 ? n - 2 : n - 1));
}

TEST_CASE("parallel: the maximum of whole numbers, and of none") {
  const auto negative = [](int64_t i) { return -5 - i; };
  const auto large = [](int64_t i) { return ~uint32_t(0) - static_cast<uint32_t>(i); };
  CHECK(Team{}.max(70, negative) == -5);
  CHECK(Team{}.max(70, large) == ~uint32_t(0));
  CHECK(Team{}.max(0, negative) == std::numeric_limits<int64_t>::min());
  CHECK(Team{}.max(0, large) == 0);
}

TEST_CASE("parallel: a scan joins in order, over chunks and blocks, both ways, with the same bits at any thread count") {
  const int64_t shapes[][3] = {{1, 5000, 1}, {3, 1, 2},    {2, 1024, 3}, {1, 1025, 70}, {40, 7, 130}, {4, 1024, 1},
                               {6, 2500, 1}, {701, 30, 1}, {0, 4, 4},    {2, 0, 3},     {2, 3, 0},    {0, 3, 1}};
  for (const auto& shape : shapes)
    for (const bool reverse : {false, true}) {
      const int64_t outer = shape[0], n = shape[1], inner = shape[2];
      CAPTURE(n);
      CAPTURE(inner);
      CAPTURE(reverse);
      std::vector<Maps::State> first(outer * n * inner), y(first.size());
      for (const int count : {1, 2, 3}) {
        const ThreadCount scope(count);
        scan(Device::cpu, outer, n, inner, reverse, Maps{y.data()});
        if (count == 1) first = y;
        bool same = true;
        for (size_t i = 0; i < y.size(); ++i) same = same && y[i].a == first[i].a && y[i].b == first[i].b;
        CHECK(same);
      }
      double worst = 0;
      for (int64_t line = 0; line < outer; ++line)
        for (int64_t column = 0; column < inner; ++column) {
          Maps::State total;
          for (int64_t t = 0; t < n; ++t) {
            const int64_t i = (line * n + (reverse ? n - 1 - t : t)) * inner + column;
            total = Maps::join(total, Maps{nullptr}.element(i));
            worst = std::max(worst, std::fabs(y[i].a - total.a) + std::fabs(y[i].b - total.b));
          }
        }
      CHECK(worst < 1e-13);
    }
}
