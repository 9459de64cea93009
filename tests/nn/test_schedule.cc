// Schedules against numbers computed by hand and PyTorch.
#include <doctest/doctest.h>

#include "nn/optim/schedule.h"
#include "tests/golden_file.h"

namespace tapir {

TEST_CASE("schedules at points computed by hand") {
  nn::Schedule schedule;
  schedule.rate = 2;
  schedule.warmup = 4;
  schedule.floor = 0.1;
  constexpr int64_t steps = 12;
  for (const char* shape : {"constant", "cosine", "linear"}) {
    schedule.shape = shape;
    CHECK(schedule.at(0, steps) == 0.5);
    CHECK(schedule.at(2, steps) == 1.5);
    CHECK(schedule.at(3, steps) == 2);
    CHECK(schedule.at(4, steps) == 2);
  }
  schedule.shape = "constant";
  CHECK(schedule.at(11, steps) == 2);
  schedule.shape = "linear";
  CHECK(schedule.at(6, steps) == doctest::Approx(1.55).epsilon(1e-15));
  CHECK(schedule.at(8, steps) == doctest::Approx(1.1).epsilon(1e-15));
  CHECK(schedule.at(11, steps) == doctest::Approx(0.425).epsilon(1e-15));
  CHECK(schedule.at(12, steps) == doctest::Approx(0.2).epsilon(1e-15));
  schedule.shape = "cosine";
  CHECK(schedule.at(6, steps) == doctest::Approx(1.7363961030678928).epsilon(1e-15));  // u = 1/4, cos = √½
  CHECK(schedule.at(8, steps) == doctest::Approx(1.1).epsilon(1e-15));
  CHECK(schedule.at(11, steps) == doctest::Approx(0.26850842073984194).epsilon(1e-15));  // u = 7/8
  CHECK(schedule.at(12, steps) == doctest::Approx(0.2).epsilon(1e-15));
}

TEST_CASE("schedules equal PyTorch's at every step") {
  const nlohmann::json golden = golden_file("nn.json").at("schedules");
  nn::Schedule schedule;
  schedule.rate = 2;
  schedule.warmup = 4;
  schedule.floor = 0.1;
  schedule.decay_share = 0.25;
  for (const char* shape : {"wsd", "inverse_sqrt"}) {
    INFO(shape);
    schedule.shape = shape;
    const auto rates = golden.at(shape).get<std::vector<double>>();
    REQUIRE(rates.size() == 20);
    for (int64_t k = 0; k < 20; ++k) CHECK(schedule.at(k, 20) == doctest::Approx(rates[k]).epsilon(1e-14));
  }
}

TEST_CASE("at the edges: no decay, nothing but decay, an inverse square root without warm-up") {
  nn::Schedule schedule;
  schedule.rate = 1;
  schedule.shape = "wsd";
  schedule.decay_share = 0;
  CHECK(schedule.at(9, 10) == 1);
  schedule.decay_share = 1;
  CHECK(schedule.at(0, 10) == 1);
  CHECK(schedule.at(10, 10) == doctest::Approx(0.1).epsilon(1e-15));
  schedule.shape = "inverse_sqrt";
  CHECK(schedule.at(0, 10) == 1);
  CHECK(schedule.at(3, 10) == 0.5);
}

TEST_CASE("a schedule without warm-up starts at its rate; one that is all warm-up ends at it") {
  nn::Schedule schedule;
  schedule.rate = 1;
  schedule.warmup = 0;
  CHECK(schedule.at(0, 10) == 1);
  CHECK(schedule.at(0, 1) == 1);
  schedule.warmup = 10;
  CHECK(schedule.at(9, 10) == 1);
  schedule.warmup = 20;
  CHECK(schedule.at(9, 10) == 0.5);
}

}  // namespace tapir
