// Rulings of a trial by hand: who stands against whom, what a gain says, and what all of them say together.
#include <doctest/doctest.h>

#include <cmath>

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

Ruling ruling_of(const std::vector<double>& gains, const std::string& expects, double difference) {
  TrialOptions options;
  options.expects = expects;
  options.difference = difference;
  return rulings(options, {{.cell = "", .subject = "b", .against = "a", .gains = gains}}).at(0);
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

}  // namespace

TEST_CASE("rulings by hand: what the interval of the gain says of the difference that counts") {
  const std::vector<double> gains{0.1, 0.15, 0.1}, losses{-0.1, -0.15, -0.1};   // 0.11667 ± 0.07171
  const Ruling shown = ruling_of(gains, "better", 0.1);
  CHECK(shown.kind == Ruling::holds);
  CHECK(shown.interval.mean == doctest::Approx(0.35 / 3));
  CHECK(shown.interval.half_width == doctest::Approx(0.0717109).epsilon(1e-5));
  CHECK(shown.seeds_needed == 0);
  CHECK(ruling_of(gains, "better", 0.2).kind == Ruling::fails);        // 0.188 is too small to count
  CHECK(ruling_of(losses, "better", 0.1).kind == Ruling::fails);
  CHECK(ruling_of(gains, "better", 0.15).kind == Ruling::undecided);   // above 0, perhaps too small
  CHECK(ruling_of(gains, "not_worse", 0.05).kind == Ruling::holds);
  CHECK(ruling_of(losses, "not_worse", 0.04).kind == Ruling::fails);    // −0.188 … −0.045
  CHECK(ruling_of(losses, "not_worse", 0.1).kind == Ruling::undecided);
  CHECK(ruling_of(losses, "not_worse", 0.19).kind == Ruling::holds);

  // s = 0.028868, and the interval must end within 0.15 − 0.11667 of its middle: t(n − 1) s / √n, n = 6 is the first
  CHECK(ruling_of(gains, "better", 0.15).seeds_needed == 6);
}

TEST_CASE(
    "pairings: every subject against the baseline and controls, but those that are matched with another; signs and "
    "divergence") {
  Results results(true);
  std::vector<RunRecord> subject = runs_of({0.9, 0.9, 0.9});
  subject[1] = run_of(1, 0.95, true);
  results.add("", {{"a", Role::baseline}, {"b", Role::subject}, {"c", Role::control}},
              {runs_of({0.5, 0.6, 0.7}), subject, runs_of({0.2, 0.3, 0.4})});
  const std::vector<Pairing> all = pairings(results.trial, results.cells);
  REQUIRE(all.size() == 2);
  CHECK(all[0].against == "a");
  CHECK(all[1].against == "c");
  CHECK(all[0].gains[0] == doctest::Approx(0.9 - 0.5));
  CHECK(all[0].gains[1] == doctest::Approx(0.2 - 0.6));   // the worst of all
  CHECK(all[1].gains[1] == doctest::Approx(0.2 - 0.3));

  Results lower(false);
  lower.add("easy", {{"a", Role::baseline}, {"b", Role::subject}, {"c", Role::subject}, {"d", Role::control, "c"}},
            {runs_of({3, 3}), runs_of({1, 2}), runs_of({2, 2}), runs_of({5, 5})});
  lower.add("hard", {{"a", Role::baseline}, {"b", Role::subject}}, {runs_of({3, 3}), runs_of({4, 4})});
  std::string named;
  for (const Pairing& one : pairings(lower.trial, lower.cells))
    named += text(one.cell, ' ', one.subject, '-', one.against, ' ', one.gains[0], ", ");
  CHECK(named == "easy b-a 2, easy c-a 1, easy c-d 3, hard b-a -1, ");   // d has what c costs: it stands against c alone
}

TEST_CASE("steps until solved: what is not solved counts as all of its steps") {
  Trial trial;
  trial.options.metric = steps_until_solved;
  RunRecord run = run_of(1, 0.5);
  CHECK(value_of(trial, run) == 9);
  run.solved = 4;
  CHECK(value_of(trial, run) == 4);
  CHECK(std::isnan(value_of(trial, run_of(1, 0.5, true))));
}

TEST_CASE("rulings together are corrected; a verdict over subjects and cells") {
  TrialOptions options;
  options.difference = 0.1;
  const std::vector<double> gains{0.1, 0.15, 0.1};
  const std::vector<Ruling> two = rulings(options, {{"", "b", "a", gains}, {"", "b", "c", gains}});
  CHECK(two[0].interval.half_width > ruling_of(gains, "better", 0.1).interval.half_width);
  CHECK(two[0].corrected == doctest::Approx(2 * ruling_of(gains, "better", 0.1).corrected));

  const auto ruled = [](const std::string& cell, const std::string& subject, Ruling::Kind kind) {
    return Ruling{.pairing = {cell, subject, "a", {}}, .interval = {}, .kind = kind};
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
