// Times until something happens, with censoring, and shares: against published examples, other formulas, and what must hold.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <set>

#include "attention/reproduce/program/statistics.h"
#include "tests/messages.h"

namespace tapir {
namespace {

using Lives = std::vector<Lifetime>;

Lives lives_of(const std::vector<double>& ended, const std::vector<double>& censored) {
  Lives lives;
  for (const double time : censored) lives.push_back({time, false});
  for (const double time : ended) lives.push_back({time, true});
  return lives;
}

// Weeks of remission of 42 children with leukaemia (Freireich et al. 1963, as in Cox 1972).
const Lives mercaptopurine = lives_of({6, 6, 6, 7, 10, 13, 16, 22, 23}, {6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35});
const Lives placebo = lives_of({1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23}, {});

Lives random_lives(std::mt19937& random, size_t count, int latest) {
  Lives lives;
  for (size_t k = 0; k < count; ++k) lives.push_back({static_cast<double>(random() % latest), random() % 3 > 0});
  return lives;
}

Survival survival_at(const std::vector<double>& ended, const std::vector<double>& censored) {
  return survival(lives_of(ended, censored));
}

}  // namespace

TEST_CASE("the survival curve is that of the published example, with its band and its median") {
  // Kleinbaum & Klein, Survival Analysis, 2nd edition 2005, computer appendix, `sts list`.
  const Survival curve = survival(mercaptopurine);
  const std::vector<double> times{0, 6, 7, 10, 13, 16, 22, 23, 35};
  const std::vector<double> alive{1, 0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482, 0.4482};
  const std::vector<double> low{1, 0.6197, 0.5631, 0.5032, 0.4316, 0.3675, 0.2678, 0.1881, 0.1881};
  const std::vector<double> high{1, 0.9516, 0.9228, 0.8894, 0.8491, 0.8049, 0.7468, 0.6801, 0.6801};
  CHECK(curve.times == times);
  REQUIRE(curve.alive.size() == times.size());
  for (size_t k = 0; k < times.size(); ++k) {
    CAPTURE(times[k]);
    CHECK(std::abs(curve.alive[k] - alive[k]) < 5.1e-5);
    CHECK(std::abs(curve.low[k] - low[k]) < 5.1e-5);
    CHECK(std::abs(curve.high[k] - high[k]) < 5.1e-5);
  }
  CHECK(curve.median == 23);
  CHECK(curve.median_low == 13);
  CHECK(std::isnan(curve.median_high));
  const Survival other = survival(placebo);
  CHECK(other.median == 8);
  CHECK(other.median_low == 4);
  CHECK(other.median_high == 11);
}

TEST_CASE("without censoring the curve is one minus the empirical distribution") {
  std::mt19937 random(1);
  for (int trial = 0; trial < 50; ++trial) {
    Lives lives = random_lives(random, 1 + random() % 30, 12);
    for (Lifetime& life : lives) life.ended = true;
    const Survival curve = survival(lives);
    double median = std::numeric_limits<double>::quiet_NaN();
    for (size_t k = 0; k < curve.times.size(); ++k) {
      int64_t later = 0;
      for (const Lifetime& life : lives) later += life.time > curve.times[k];
      if (k > 0) CHECK(curve.alive[k] == doctest::Approx(static_cast<double>(later) / static_cast<double>(lives.size())));
      if (std::isnan(median) && k > 0 && 2 * later <= static_cast<int64_t>(lives.size())) median = curve.times[k];
    }
    CHECK(curve.median == median);
    CHECK(curve.alive.back() == 0);
    CHECK(curve.high.back() == 0);
  }
}

TEST_CASE("with censoring the curve is the one that gives the weight of the censored to those who are left") {
  // Efron 1967: each censored life hands its weight on, in equal parts, to all that are longer.
  std::mt19937 random(2);
  for (int trial = 0; trial < 100; ++trial) {
    Lives lives = random_lives(random, 1 + random() % 20, 15);
    std::sort(lives.begin(), lives.end(),
              [](const Lifetime& a, const Lifetime& b) { return a.time < b.time || (a.time == b.time && a.ended > b.ended); });
    std::vector<double> weight(lives.size(), 1 / static_cast<double>(lives.size()));
    for (size_t k = 0; k + 1 < lives.size(); ++k)
      if (!lives[k].ended)
        for (size_t later = lives.size() - 1; later > k; --later)
          weight[later] += weight[k] / static_cast<double>(lives.size() - 1 - k);
    const Survival curve = survival(lives);
    for (size_t k = 1; k < curve.times.size(); ++k) {
      double ended = 0;
      for (size_t one = 0; one < lives.size(); ++one)
        if (lives[one].ended && lives[one].time <= curve.times[k]) ended += weight[one];
      CHECK(curve.alive[k] == doctest::Approx(1 - ended).epsilon(1e-9));
      CHECK(curve.low[k] <= curve.alive[k]);
      CHECK(curve.alive[k] <= curve.high[k]);
    }
  }
}

TEST_CASE("curves at their ends: nobody, one life, ends at 0, all censored, exactly half") {
  const Survival nobody = survival({});
  CHECK(nobody.times.empty());
  CHECK(nobody.alive.empty());
  CHECK(std::isnan(nobody.median));
  const Survival one = survival_at({3}, {});
  CHECK(one.times == std::vector<double>{0, 3});
  CHECK(one.alive == std::vector<double>{1, 0});
  CHECK(one.median == 3);
  CHECK(one.median_low == 3);
  CHECK(std::isnan(one.median_high));   // of nobody who is left nothing is known
  const Survival three = survival_at({1, 2, 3}, {});   // after 2: 1/3, up to 0.77
  CHECK(three.median == 2);
  CHECK(std::isnan(three.median_high));
  const Survival censored = survival_at({}, {3, 5});
  CHECK(censored.times == std::vector<double>{0, 5});
  CHECK(censored.alive == std::vector<double>{1, 1});
  CHECK(censored.low == std::vector<double>{1, 1});
  CHECK(std::isnan(censored.median));
  CHECK(survival_at({0, 4}, {}).times == std::vector<double>{0, 0, 4});
  CHECK(survival_at({0, 4}, {}).median == 0);
  for (size_t pairs = 1; pairs < 40; ++pairs) {   // half of them end, one after the other: rounding must not hide the median
    std::vector<double> ended;
    for (size_t k = 1; k <= pairs; ++k) ended.push_back(static_cast<double>(k));
    CAPTURE(pairs);
    CHECK(survival_at(ended, std::vector<double>(pairs, 100)).median == static_cast<double>(pairs));
    CHECK(std::isnan(survival_at(ended, std::vector<double>(pairs + 1, 100)).median));
  }
}

TEST_CASE("the log-rank test is that of the published example") {
  const LogRank result = log_rank({{mercaptopurine, placebo}});   // Kleinbaum & Klein: 16.79
  CHECK(std::abs(result.statistic - 16.79) < 0.0051);
  CHECK(result.p == doctest::Approx(4.17e-5).epsilon(2e-3));
  // Two lives and two, of which the first group's end first: (2 − 1/2 − 1/3)² / (1/4 + 2/9).
  CHECK(log_rank({{lives_of({1, 2}, {}), lives_of({3, 4}, {})}}).statistic == doctest::Approx(49.0 / 17));
  CHECK(log_rank({{lives_of({1, 2}, {}), lives_of({3, 4}, {})}}).p == doctest::Approx(0.0896).epsilon(1e-3));
}

TEST_CASE("the log-rank numerator is a sum of scores, one for each life of the first group") {
  // Peto & Peto 1972: 1 for a life that ended minus the pooled Nelson–Aalen estimate at its time, Σ d / n.
  std::mt19937 random(3);
  for (int trial = 0; trial < 50; ++trial) {
    double scores = 0, variance = 0;
    std::vector<std::pair<Lives, Lives>> strata;
    for (int stratum = 0; stratum < 3; ++stratum) {
      strata.emplace_back(random_lives(random, 2 + random() % 9, 9), random_lives(random, 2 + random() % 9, 9));
      Lives all = strata.back().first;
      all.insert(all.end(), strata.back().second.begin(), strata.back().second.end());
      std::set<double> ends;
      for (const Lifetime& life : all)
        if (life.ended) ends.insert(life.time);
      const auto there = [](const Lives& lives, double time, bool first_only, size_t own) {
        double count = 0;
        for (size_t k = 0; k < lives.size(); ++k) count += lives[k].time >= time && (!first_only || k < own);
        return count;
      };
      const size_t own = strata.back().first.size();
      for (const double time : ends) {
        const double n = there(all, time, false, own), first = there(all, time, true, own);
        double ended = 0;
        for (const Lifetime& life : all) ended += life.ended && life.time == time;
        // of the hypergeometric distribution
        if (n > 1) variance += first * (n - first) * ended * (n - ended) / (n * n * (n - 1));
        for (size_t k = 0; k < own; ++k)
          scores += (all[k].time == time && all[k].ended ? 1 : 0) - (all[k].time >= time ? ended / n : 0);
      }
    }
    if (variance == 0) continue;
    const LogRank result = log_rank(strata);
    CHECK(result.statistic == doctest::Approx(scores * scores / variance).epsilon(1e-9));
    CHECK(result.p == doctest::Approx(1 - std::erf(std::sqrt(result.statistic / 2))).epsilon(1e-9));
  }
}

TEST_CASE("the log-rank test: groups may be exchanged, time may be stretched, strata count within themselves") {
  const double statistic = log_rank({{mercaptopurine, placebo}}).statistic;
  CHECK(log_rank({{placebo, mercaptopurine}}).statistic == doctest::Approx(statistic));
  Lives first = mercaptopurine, second = placebo;
  for (Lives* group : {&first, &second})
    for (Lifetime& life : *group) life.time = life.time * life.time;
  CHECK(log_rank({{first, second}}).statistic == doctest::Approx(statistic));
  CHECK(log_rank({{mercaptopurine, placebo}, {mercaptopurine, placebo}}).statistic == doctest::Approx(2 * statistic));
  CHECK(log_rank({{mercaptopurine, placebo}, {placebo, mercaptopurine}}).statistic == doctest::Approx(0).epsilon(1e-9));
  CHECK(log_rank({{mercaptopurine, placebo}, {mercaptopurine, {}}}).statistic == doctest::Approx(statistic));
  CHECK(log_rank({{mercaptopurine, mercaptopurine}}).p == doctest::Approx(1));
  for (const auto& none : std::vector<std::vector<std::pair<Lives, Lives>>>{
           {}, {{{}, {}}}, {{mercaptopurine, {}}}, {{lives_of({}, {1, 2}), lives_of({}, {3})}}}) {
    CHECK(std::isnan(log_rank(none).statistic));
    CHECK(std::isnan(log_rank(none).p));
  }
}

TEST_CASE("where two groups are one the log-rank test says otherwise about as often as its p allows") {
  std::mt19937 random(4);
  int64_t below = 0;
  constexpr int64_t trials = 4000;
  for (int64_t trial = 0; trial < trials; ++trial) {
    Lives a = random_lives(random, 20, 1000), b = random_lives(random, 20, 1000);
    below += log_rank({{a, b}}).p < 0.1;
  }
  CHECK(std::abs(static_cast<double>(below) / trials - 0.1) < 0.02);   // four deviations of such a count
}

TEST_CASE("intervals of shares are those of the published table") {
  struct Row {
    int64_t successes, of;
    double low, high;
  };
  // Newcombe 1998, Statistics in Medicine 17, table I, method 3.
  for (const Row& row :
       {Row{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {1, 29, 0.0061, 0.1718}}) {
    const Interval found = wilson(row.successes, row.of), mirrored = wilson(row.of - row.successes, row.of);
    CAPTURE(row.of);
    CHECK(std::abs(found.mean - found.half_width - row.low) < 5.1e-5);
    CHECK(std::abs(found.mean + found.half_width - row.high) < 5.1e-5);
    CHECK(mirrored.mean == doctest::Approx(1 - found.mean));
    CHECK(mirrored.half_width == doctest::Approx(found.half_width));
    // The ends are the probabilities at which the share lies z deviations away.
    for (const auto& [level, z] : {std::pair{0.95, 1.959964}, {0.99, 2.575829}, {0.5, 0.674490}}) {
      const Interval at = wilson(row.successes, row.of, level);
      for (const double p : {at.mean - at.half_width, at.mean + at.half_width}) {
        const double share = static_cast<double>(row.successes) / static_cast<double>(row.of);
        CHECK(std::abs(share - p) == doctest::Approx(z * std::sqrt(p * (1 - p) / static_cast<double>(row.of))).epsilon(1e-5));
      }
    }
  }
  CHECK(std::isnan(wilson(0, 0).mean));
  CHECK(std::isnan(wilson(0, 0).half_width));
  CHECK(ends_of(wilson(81, 263)) == "0.255–0.366");
  CHECK(ends_of(wilson(0, 0)) == "–");
}

TEST_CASE("what is no time and what is no share is refused") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  CHECK(message_of([] { survival({{nan, true}}); }) == "survival: a time must be finite and not negative, found nan");
  CHECK(message_of([] { survival({{1, true}, {-1, false}}); }) == "survival: a time must be finite and not negative, found -1");
  CHECK(message_of([] { log_rank({{{{1, true}}, {{infinity, false}}}}); }) ==
        "survival: a time must be finite and not negative, found inf");
  CHECK(message_of([] { wilson(3, 2); }) == "wilson: 3 of 2 is no share");
  CHECK(message_of([] { wilson(-1, 2); }) == "wilson: -1 of 2 is no share");
  CHECK(message_of([] { wilson(0, -1); }) == "wilson: 0 of -1 is no share");
}

}  // namespace tapir
