// Rulings of a trial by hand: who stands against whom, what a gain says, and what all of them say together.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "attention/reproduce/program/ruling.h"

namespace tapir {
namespace {

RunRecord run_of(int64_t seed, double result, bool diverged = false) {
  RunRecord run;
  run.seed = seed;
  run.steps = run.evaluated = 9;
  run.judged.result = result;
  if (diverged) run.diverged = "loss is nan";
  return run;
}

std::vector<RunRecord> runs_of(const std::vector<double>& results) {
  std::vector<RunRecord> runs;
  for (size_t k = 0; k < results.size(); ++k) runs.push_back(run_of(static_cast<int64_t>(k), results[k]));
  return runs;
}

Pairing pairing_of(const std::vector<double>& gains, const std::vector<double>& known) {
  return {.cell = "", .subject = "b", .against = "a", .gains = gains, .known = known, .diverged = {}};
}

Ruling ruling_of(const std::vector<double>& gains, const std::string& expects, double difference) {
  TrialOptions options;
  options.expects = expects;
  options.difference = difference;
  return rulings(options, {pairing_of(gains, gains)}).at(0);
}

int64_t needed(const Ruling& ruling, const std::string& expects, double difference) {
  TrialOptions options;
  options.expects = expects;
  options.difference = difference;
  return seeds_needed(options, ruling, 1);
}

// Results without experiments: of arms with roles, and what each is matched with.
struct Results {
  Objective objective;
  Trial trial{};
  std::vector<CellResult> cells{};

  explicit Results(bool higher_is_better) : objective{"m", higher_is_better} {}
  Results(const Results&) = delete;

  struct Entry {
    std::string name;
    Role role;
    std::string match{};
  };

  void add(const std::string& cell, const std::vector<Entry>& arms, const std::vector<std::vector<RunRecord>>& runs) {
    trial.cells.reserve(10);   // results point to them
    TrialCell& own = trial.cells.emplace_back(TrialCell{.name = cell, .seeds = 3, .arms = {}});
    for (const Entry& one : arms) own.arms.push_back({one.name, one.role, one.match, "", {}});
    CellResult& result = cells.emplace_back(CellResult{&own, {}});
    for (size_t k = 0; k < runs.size(); ++k) {
      result.arms.push_back({.arm = &own.arms[k], .grid = {}, .counted = runs[k]});
      for (RunRecord& run : result.arms.back().counted) run.judged.objective = objective;
    }
  }
};

// The chance that some ruling of ten, on gains whose expectation is known, is false; `shared`: by how much they go together.
double false_rulings(const TrialOptions& options, double gain, double shared) {
  constexpr int64_t trials = 4000, together = 10, seeds = 5;
  std::mt19937 random(7);
  std::normal_distribution<double> noise;
  const double least = options.expects == "better" ? 0 : -options.difference;   // a gain up to here must not hold
  const double enough = options.expects == "better" ? options.difference : -options.difference;   // one from here on not fail
  int64_t wrong = 0;
  for (int64_t trial = 0; trial < trials; ++trial) {
    std::vector<double> common(seeds);
    for (double& one : common) one = noise(random);
    std::vector<Pairing> pairings;
    for (int64_t k = 0; k < together; ++k) {
      std::vector<double> gains;
      for (const double one : common) gains.push_back(gain + shared * one + std::sqrt(1 - shared * shared) * noise(random));
      pairings.push_back(pairing_of(gains, gains));
    }
    const std::vector<Ruling> ruled = rulings(options, std::move(pairings));
    wrong += std::any_of(ruled.begin(), ruled.end(), [&](const Ruling& one) {
      return (one.kind == Ruling::holds && gain <= least) || (one.kind == Ruling::fails && gain >= enough);
    });
  }
  return static_cast<double>(wrong) / trials;
}

}  // namespace

TEST_CASE("rulings by hand: what the interval of the gain says of the difference that counts") {
  const std::vector<double> gains{0.1, 0.15, 0.1}, losses{-0.1, -0.15, -0.1};   // 0.11667 ± 0.07171
  const Ruling shown = ruling_of(gains, "better", 0.1);
  CHECK(shown.kind == Ruling::holds);
  CHECK(shown.interval.mean == doctest::Approx(0.35 / 3));
  CHECK(shown.interval.half_width == doctest::Approx(0.0717109).epsilon(1e-5));
  CHECK(needed(shown, "better", 0.1) == 0);
  CHECK(ruling_of(gains, "better", 0.2).kind == Ruling::fails);        // 0.188 is too small to count
  CHECK(ruling_of(losses, "better", 0.1).kind == Ruling::fails);
  CHECK(ruling_of(gains, "better", 0.15).kind == Ruling::undecided);   // above 0, perhaps too small
  CHECK(ruling_of(gains, "not_worse", 0.05).kind == Ruling::holds);
  CHECK(ruling_of(losses, "not_worse", 0.04).kind == Ruling::fails);    // −0.188 … −0.045
  CHECK(ruling_of(losses, "not_worse", 0.1).kind == Ruling::undecided);
  CHECK(ruling_of(losses, "not_worse", 0.19).kind == Ruling::holds);

  // s = 0.028868, and the interval must end within 0.15 − 0.11667 of its middle: t(n − 1) s / √n, n = 6 is the first
  CHECK(needed(ruling_of(gains, "better", 0.15), "better", 0.15) == 6);
}

TEST_CASE("pairings: every subject against the baseline and controls, but those that are matched with another; signs") {
  Results results(true);
  results.add("", {{"a", Role::baseline}, {"b", Role::subject}, {"c", Role::control}},
              {runs_of({0.5, 0.6, 0.7}), runs_of({0.9, 0.8, 0.9}), runs_of({0.2, 0.3, 0.4})});
  const std::vector<Pairing> all = pairings(results.trial, results.cells);
  REQUIRE(all.size() == 2);
  CHECK(all[0].against == "a");
  CHECK(all[1].against == "c");
  CHECK(all[0].gains[0] == doctest::Approx(0.9 - 0.5));
  CHECK(all[1].gains[1] == doctest::Approx(0.8 - 0.3));
  CHECK(all[0].known == all[0].gains);
  CHECK(all[0].diverged.empty());

  Results lower(false);
  lower.add("easy", {{"a", Role::baseline}, {"b", Role::subject}, {"c", Role::subject}, {"d", Role::control, "c"}},
            {runs_of({3, 3}), runs_of({1, 2}), runs_of({2, 2}), runs_of({5, 5})});
  lower.add("hard", {{"a", Role::baseline}, {"b", Role::subject}}, {runs_of({3, 3}), runs_of({4, 4})});
  std::string named;
  for (const Pairing& one : pairings(lower.trial, lower.cells))
    named += text(one.cell, ' ', one.subject, '-', one.against, ' ', one.gains[0], ", ");
  CHECK(named == "easy b-a 2, easy c-a 1, easy c-d 3, hard b-a -1, ");   // d has what c costs: it stands against c alone
}

TEST_CASE("a pairing with a run that diverged has no gains, and a subject that always diverges does not hold") {
  TrialOptions options;
  options.expects = "not_worse";
  options.difference = 0.1;
  for (const bool subject_diverges : {true, false}) {
    Results results(true);
    std::vector<RunRecord> bad{run_of(0, 0.9), run_of(1, 0.95, true), run_of(2, 0.9)};
    const std::vector<RunRecord> good = runs_of({0.5, 0.6, 0.7});
    results.add("", {{"a", Role::baseline}, {"b", Role::subject}},
                {subject_diverges ? good : bad, subject_diverges ? bad : good});
    const std::vector<Pairing> all = pairings(results.trial, results.cells);
    CHECK(all[0].gains.empty());
    CHECK(all[0].diverged == (subject_diverges ? "b with seed 1" : "a with seed 1"));
    const Ruling ruling = rulings(options, all)[0];
    CHECK(ruling.kind == Ruling::undecided);
    CHECK(std::isnan(ruling.interval.mean));
    CHECK(seeds_needed(options, ruling, 1) == 0);
  }
  Results always(true);
  const std::vector<RunRecord> none{run_of(0, 0.1, true), run_of(1, 0.1, true), run_of(2, 0.1, true)};
  always.add("", {{"a", Role::baseline}, {"b", Role::subject}}, {none, none});   // as the worst of the cell both would be equal
  CHECK(verdict_of(rulings(options, pairings(always.trial, always.cells))) == Verdict::undecided);
}

TEST_CASE("steps until solved: what is not solved, or diverged, counts as all of its steps") {
  Trial trial;
  trial.options.metric = steps_until_solved;
  RunRecord run = run_of(1, 0.5);
  CHECK(value_of(trial, run) == 9);
  CHECK(value_of(trial, run_of(1, 0.5, true)) == 9);
  run.solved = run.evaluated = 4;
  CHECK(value_of(trial, run) == 4);
  run.solved = 0;
  CHECK(std::isnan(value_of(trial, run)));   // it may be solved yet
}

TEST_CASE("steps until solved: pairs of which neither run is solved decide nothing") {
  Results results(true);
  results.trial.options.metric = steps_until_solved;
  results.trial.options.difference = 2;
  const auto runs = [](const std::vector<int64_t>& solved) {
    std::vector<RunRecord> all;
    for (const int64_t step : solved) {
      all.push_back(run_of(static_cast<int64_t>(all.size()), 0.5));
      all.back().solved = step;
    }
    return all;
  };
  results.add("none", {{"a", Role::baseline}, {"b", Role::subject}}, {runs({0, 0, 0}), runs({0, 0, 0})});
  results.add("one", {{"a", Role::baseline}, {"b", Role::subject}}, {runs({0, 0, 5}), runs({0, 0, 4})});
  results.add("all", {{"a", Role::baseline}, {"b", Role::subject}}, {runs({3, 4, 5, 0}), runs({4, 4, 5, 9})});
  results.cells[2].arms[1].counted[3].diverged = "loss is nan";
  results.cells[2].arms[1].counted[3].solved = 0;
  const std::vector<Pairing> all = pairings(results.trial, results.cells);
  CHECK(all[0].gains == std::vector<double>{0, 0, 0});
  CHECK(all[0].known.empty());
  CHECK(all[1].gains == std::vector<double>{0, 0, 1});
  CHECK(all[1].known == std::vector<double>{1});
  CHECK(all[2].gains == std::vector<double>{-1, 0, 0, 0});
  CHECK(all[2].known == std::vector<double>{-1, 0, 0});
  for (const char* expects : {"better", "not_worse"}) {
    results.trial.options.expects = expects;
    const std::vector<Ruling> ruled = rulings(results.trial.options, all);
    CHECK(ruled[0].alone == (std::string(expects) == "better" ? Ruling::fails : Ruling::holds));
    CHECK(ruled[0].kind == Ruling::undecided);
    CHECK(seeds_needed(results.trial.options, ruled[0], ruled.size()) == 0);   // more seeds would not tell
    CHECK(ruled[1].kind == Ruling::undecided);
  }
  const std::vector<double> gains{-900, -1000, -1100, 0, 0}, known{-900, -1000, -1100};
  TrialOptions options;
  options.difference = 500;
  CHECK(rulings(options, {pairing_of(gains, known)})[0].kind == Ruling::fails);
  CHECK(rulings(options, {pairing_of(gains, {-900})})[0].kind == Ruling::undecided);
}

TEST_CASE("some ruling of ten is false with a chance of at most 5 %") {
  TrialOptions options;
  const double most = 0.05 + 3 * std::sqrt(0.05 * 0.95 / 4000);   // three deviations of such a share
  for (const double shared : {0.0, 0.7})
    for (const double difference : {0.2, 1.0}) {
      CAPTURE(shared);
      CAPTURE(difference);
      options.difference = difference;
      options.expects = "better";
      CHECK(false_rulings(options, difference, shared) < most);
      CHECK(false_rulings(options, 0, shared) < most);
      options.expects = "not_worse";
      CHECK(false_rulings(options, -difference, shared) < most);
    }
}

TEST_CASE("the intervals of rulings hold together; a verdict over subjects and cells") {
  TrialOptions options;
  options.difference = 0.1;
  const std::vector<double> gains{0.1, 0.15, 0.1}, small{0.01, 0.02, 0.01};
  const std::vector<Ruling> two = rulings(options, {pairing_of(gains, gains), pairing_of(small, small)});
  CHECK(two[0].interval.half_width == doctest::Approx(0.0717109 / 4.30265 * 6.20535).epsilon(1e-5));   // t of 2, at 97.5 %
  CHECK(two[1].interval.half_width == doctest::Approx(0.2 * two[0].interval.half_width));   // whatever its rank

  const auto ruled = [](const std::string& cell, const std::string& subject, Ruling::Kind kind) {
    return Ruling{.pairing = {cell, subject, "a", {}, {}, {}}, .interval = {}, .kind = kind};
  };
  const auto verdict = [&](Ruling::Kind x, Ruling::Kind y, const std::string& cell, const std::string& subject) {
    return verdict_of({ruled("x", "b", x), ruled(cell, subject, y)});
  };
  using enum Ruling::Kind;
  CHECK(verdict(holds, holds, "x", "b") == Verdict::reproduced);
  CHECK(verdict(holds, undecided, "x", "b") == Verdict::undecided);        // against another arm in the same cell
  CHECK(verdict(fails, undecided, "x", "b") == Verdict::not_reproduced);
  CHECK(verdict(holds, fails, "x", "b") == Verdict::not_reproduced);
  CHECK(verdict(holds, holds, "y", "b") == Verdict::reproduced);
  CHECK(verdict(holds, fails, "y", "b") == Verdict::partly);               // in another cell
  CHECK(verdict(holds, undecided, "x", "c") == Verdict::partly);           // of another subject
  CHECK(verdict(undecided, fails, "y", "b") == Verdict::not_reproduced);
  CHECK(verdict(undecided, undecided, "y", "b") == Verdict::undecided);
}

}  // namespace tapir
