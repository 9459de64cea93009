// What can be compared, and what a difference says: statistics by hand, pairs, groups, families of comparisons.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "attention/reproduce/program/arms.h"
#include "attention/reproduce/program/config.h"
#include "attention/reproduce/tasks/task.h"
#include "attention/reproduce/tasks/task_row.h"
#include "nn/models/transformer.h"
#include "tests/messages.h"

namespace tapir {
namespace {

RunRecord record(const std::string& folder, const std::string& mechanism, int64_t seed, double result,
                 int64_t evaluated = 9) {
  RunRecord run;
  run.folder = folder;
  run.settings = {{"attention.mechanism", mechanism}, {"run.seed", text(seed)}, {"run.name", folder}};
  run.seed = seed;
  run.steps = 9;
  run.evaluated = evaluated;
  run.judged.result = result;
  return run;
}

Group group_with(const std::vector<double>& a, const std::vector<double>& b, bool higher_is_better = false) {
  std::vector<RunRecord> runs;
  for (size_t k = 0; k < a.size(); ++k) runs.push_back(record("x/seed-1", "a", static_cast<int64_t>(k), a[k]));
  for (size_t k = 0; k < b.size(); ++k) runs.push_back(record("y/seed-1", "b", static_cast<int64_t>(k), b[k]));
  for (RunRecord& run : runs) run.judged.objective.higher_is_better = higher_is_better;
  return groups_of(std::move(runs)).front();
}

std::string verdict_with(const std::vector<double>& a, const std::vector<double>& b, bool higher_is_better = false) {
  return group_with(a, b, higher_is_better).arms[1].difference->verdict;
}

}  // namespace

TEST_CASE("quantiles of Student's t are those of closed forms and of the printed table") {
  CHECK(student_quantile(1) == doctest::Approx(std::tan(0.95 * std::numbers::pi / 2)).epsilon(1e-12));
  CHECK(student_quantile(2) == doctest::Approx(0.95 * std::sqrt(2 / (1 - 0.95 * 0.95))).epsilon(1e-12));
  const std::vector<std::pair<int64_t, double>> table{{3, 3.182},  {4, 2.776},  {5, 2.571},   {9, 2.262},
                                                      {10, 2.228}, {30, 2.042}, {100, 1.984}, {1000, 1.962}};
  for (const auto& row : table) CHECK(std::abs(student_quantile(row.first) - row.second) < 5.1e-4);
}

TEST_CASE("intervals and medians by hand") {
  const Interval three = mean_interval({1, 2, 3});   // s = 1, t = 4.30265273
  CHECK(three.mean == 2);
  CHECK(three.half_width == doctest::Approx(4.30265273 / std::sqrt(3.0)).epsilon(1e-8));
  CHECK(mean_interval({1, 2, 3}, 0.99).half_width == doctest::Approx(9.92484320 / std::sqrt(3.0)).epsilon(1e-8));
  CHECK(std::isnan(mean_interval({5}).half_width));
  CHECK(std::isnan(mean_interval({}).mean));
  CHECK(median({3, 1, 2}) == 2);
  CHECK(median({4, 1, 2, 3}) == 2.5);
  CHECK(std::isnan(median({})));
  CHECK(median({std::nan(""), 3, 1, std::nan("")}) == 2);   // who has no value does not count
  CHECK(median({5, std::nan(""), 1, 2}) == 2);
  CHECK(std::isnan(median({std::nan("")})));
  CHECK(joint_level(1) == doctest::Approx(0.95));
  CHECK(joint_level(4) == doctest::Approx(0.9875));
}

TEST_CASE("results compare where the metric and all conditions are one; what differs is named") {
  const auto judged = [](const std::string& metric, const Conditions& conditions) {
    return Judged{{metric, true}, conditions, 0};
  };
  const Judged own = judged("f1", {{"size", "2"}, {"bytes", "≈ 100"}});
  CHECK(incomparable(own, own) == "");
  CHECK(incomparable(own, judged("f1", {{"bytes", "≈ 104"}, {"size", "2"}})) == "");
  CHECK(incomparable(own, judged("f1", {{"size", "3"}, {"bytes", "≈ 106"}})) == "size is 2, not 3, bytes is ≈ 100, not ≈ 106");
  CHECK(incomparable(own, judged("loss", {{"size", "2"}})) == "metric is f1, not loss, bytes is ≈ 100, not absent");
  CHECK(incomparable(judged("f1", {{"size", "2"}}), own) == "bytes is absent, not ≈ 100");
  CHECK(message_of([&] { require_comparable("b", own, "a", own); }) == "no error");
  CHECK(message_of([&] { require_comparable("b", own, "a", judged("f1", {{"size", "3"}, {"bytes", "≈ 100"}})); }) ==
        "b: its results do not compare with those of a: size is 2, not 3; hint: arms of a cell are judged alike: by the same "
        "metric, of the same data");
}

TEST_CASE("tests of differences by hand") {
  // t = 7 with two degrees of freedom, where P(|T| < t) = t / √(2 + t²)
  CHECK(student_p({-0.1, -0.15, -0.1}) == doctest::Approx(1 - 7 / std::sqrt(51.0)).epsilon(1e-9));
  CHECK(student_p({3, 1}) == doctest::Approx(1 - 2 / std::numbers::pi * std::atan(2.0)));   // one: Cauchy's distribution
  CHECK(student_p({4, 4, 4}) == 0);
  CHECK(student_p({0, 0, 0}) == 1);
  CHECK(student_p({1, -1}) == 1);
  CHECK(std::isnan(student_p({5})));
  CHECK(sign_p(19, 2) == doctest::Approx(2 * (1 + 21 + 210) / std::exp2(21)));
  CHECK(sign_p(2, 19) == sign_p(19, 2));
  CHECK(sign_p(3, 3) == 1);
  CHECK(sign_p(1, 0) == 1);
  CHECK(std::isnan(sign_p(0, 0)));
  const std::vector<Corrected> corrected = holm({0.01, 0.04, std::nan(""), 0.03, 0.005});
  const std::vector<double> expected{0.03, 0.06, 0, 0.06, 0.02}, level{1 - 0.05 / 3, 0.95, 0, 0.975, 0.9875};
  for (const size_t k : {0, 1, 3, 4}) {
    CHECK(corrected[k].p == doctest::Approx(expected[k]));
    CHECK(corrected[k].level == doctest::Approx(level[k]));
  }
  CHECK(std::isnan(corrected[2].p));
  CHECK(holm({0.7, 0.8})[0].p == 1);
}

TEST_CASE("entropies by hand: rows without weight do not count, what is no distribution has none") {
  const Entropy two = entropy_of({0.5, 0.5, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}, 4);
  CHECK(two.mean == doctest::Approx(std::log(2.0) / 2));
  CHECK(two.uniform == doctest::Approx(std::log(2.0) / 2));
  CHECK(entropy_of({0.9, 0.1}, 2).mean == doctest::Approx(-0.9 * std::log(0.9) - 0.1 * std::log(0.1)));
  CHECK(std::isnan(entropy_of({1.5, -0.5}, 2).mean));
  CHECK(std::isnan(entropy_of({0.5, 0.6}, 2).mean));
  CHECK(std::isnan(entropy_of({0, 0}, 2).mean));
}

TEST_CASE("the verdict follows the interval of the differences of equal seeds") {
  // differences −0.1, −0.15, −0.1: mean −0.11667, s 0.028868, half width 4.3027 · 0.028868 / √3 = 0.071711
  const Group group = group_with({1.0, 1.2, 1.1}, {0.9, 1.05, 1.0});
  REQUIRE(group.arms.size() == 2);
  CHECK(group.arms[0].label == "x");
  CHECK(!group.arms[0].difference);
  const Difference& difference = group.arms[1].difference.value();
  CHECK(difference.interval.mean == doctest::Approx(-0.35 / 3));
  CHECK(difference.interval.half_width == doctest::Approx(0.0717109).epsilon(1e-5));
  CHECK(difference.p == difference.corrected);
  CHECK(group.arms[1].result().half_width > 0.1);   // the arms themselves overlap
  CHECK(difference.verdict == "y is better than x: validation_loss is lower by 0.117 ± 0.072, paired over 3 seeds");
  CHECK(verdict_with({1.0, 1.2, 1.1}, {0.9, 1.05, 1.0}, true) ==
        "y is worse than x: validation_loss is lower by 0.117 ± 0.072, paired over 3 seeds");
  CHECK(verdict_with({0.9, 1.05, 1.0}, {1.0, 1.2, 1.1}) ==
        "y is worse than x: validation_loss is higher by 0.117 ± 0.072, paired over 3 seeds");
  CHECK(contains_text(verdict_with({1.0, 1.2, 1.1}, {1.1, 1.1, 1.1}),
                      "y against x: no difference shown, validation_loss differs by "));
  CHECK(verdict_with({1.0}, {1.1}) == "y against x: no verdict, a paired interval needs two seeds that both have finished");
}

TEST_CASE("only finished runs with a seed in both arms are paired; a run that comes twice is refused") {
  std::vector<RunRecord> runs{record("a", "a", 1, 1.0), record("b", "a", 2, 2.0), record("c", "a", 3, 50.0, 4),
                              record("d", "b", 3, 7.0), record("e", "b", 2, 1.5), record("f", "b", 1, 0.6)};
  const std::vector<Group> groups = groups_of(runs);
  REQUIRE(groups.size() == 1);
  REQUIRE(groups[0].arms.size() == 2);
  CHECK(groups[0].arms[0].label == "a and 2 more");
  CHECK(groups[0].arms[0].result().mean == 1.5);
  CHECK(groups[0].arms[1].difference->interval.mean == doctest::Approx(-0.45));   // (0.6 − 1.0 + 1.5 − 2.0) / 2
  runs.push_back(record("g", "b", 1, 0.6));
  CHECK(message_of([&] { groups_of(runs); }) ==
        "g: is the same experiment with the same seed as f; hint: give one of them");
}

TEST_CASE("of several differences each is judged as one of them") {
  // Alone p = 0.0198; of three comparisons 3 p = 0.059, with the quantile of 1 − 0.05 / 3 and two degrees: 7.6489.
  std::vector<RunRecord> runs;
  const std::vector<std::pair<std::string, std::vector<double>>> arms{
      {"a", {1.0, 1.2, 1.1}}, {"b", {0.9, 1.05, 1.0}}, {"c", {1.0, 1.3, 1.0}}, {"d", {1.2, 1.1, 1.1}}};
  for (const auto& arm : arms)
    for (size_t k = 0; k < 3; ++k)
      runs.push_back(record(arm.first + "/seed-1", arm.first, static_cast<int64_t>(k), arm.second[k]));
  const std::vector<Group> groups = groups_of(runs);
  const Difference& b = groups[0].arms[1].difference.value();
  CHECK(b.corrected == doctest::Approx(3 * b.p));
  CHECK(b.interval.half_width == doctest::Approx(7.6489 * 0.0288675 / std::sqrt(3.0)).epsilon(1e-4));
  CHECK(b.verdict == "b against a: no difference shown, validation_loss differs by -0.117 ± 0.13, paired over 3 seeds, one of 3 "
                     "comparisons");
}

TEST_CASE("what cannot be compared is in groups of its own, each with a baseline of its own") {
  std::vector<RunRecord> runs;
  for (const int64_t seed : {1, 2})
    for (const char* task : {"nt", "copy"})
      for (const char* mechanism : {"dot_product", "score_mlp"}) {
        runs.push_back(record(text("laboratory-", task, '/', mechanism, "/seed-", seed), mechanism, seed, 0.1 * seed));
        runs.back().judged.conditions = {{"task", task}, {"part", "valid"}};
        runs.back().settings["task.name"] = task;
      }
  runs[1].judged.result = 0.05;
  const std::vector<Group> groups = groups_of(runs);
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].title == "task nt");
  CHECK(groups[1].title == "task copy");
  for (const Group& group : groups) {
    REQUIRE(group.arms.size() == 2);
    CHECK(group.arms[0].label == "dot_product");
    CHECK(group.arms[1].label == "score_mlp");
    CHECK(group.arms[1].difference->values.size() == 2);
  }
  const std::vector<Joint> joint = joint_statements(groups);
  REQUIRE(joint.size() == 1);
  CHECK(joint[0].wins == 1);
  CHECK(joint[0].losses == 0);
  CHECK(joint[0].ties == 3);
  CHECK(joint[0].statement == "score_mlp against dot_product, 2 groups together: no difference shown; of the pairs with equal "
                              "seeds 1 are won, 0 lost and 3 tied (sign test, p = 1)");
  const nlohmann::json all = comparison_json(groups, {});
  CHECK(all["groups"].size() == 2);
  CHECK(all["joint"][0]["ties"] == 3);
}

TEST_CASE("a joint statement needs more than the best cell: 19 wins and 2 losses of 60 pairs are enough") {
  std::vector<RunRecord> runs;
  for (int cell = 0; cell < 12; ++cell)
    for (int64_t seed = 0; seed < 5; ++seed) {
      const int pair = cell * 5 + static_cast<int>(seed);
      for (const bool second : {false, true}) {
        const double gain = !second || pair >= 21 ? 0 : pair < 19 ? 0.2 : -0.2;
        runs.push_back(record(second ? "expressive/seed-1" : "dot_product/seed-1", second ? "b" : "a", seed, 0.5 + gain));
        runs.back().judged.objective = {"validation_accuracy", true};
        runs.back().judged.conditions = {{"cell", text(cell)}};
        runs.back().settings["cell"] = text(cell);
      }
    }
  const std::vector<Joint> joint = joint_statements(groups_of(runs));
  CHECK(joint[0].p == doctest::Approx(464 / std::exp2(21)));
  CHECK(joint[0].statement == "expressive against dot_product, 12 groups together: better; of the pairs with equal seeds 19 are "
                              "won, 2 lost and 39 tied (sign test, p = 0.00022)");
}

TEST_CASE("results in a wider unit join groups where text and context in bytes agree, and only there") {
  const auto language = [](const std::string& tokens, const std::string& text, const std::string& context, double bits) {
    RunRecord run = record(tokens + context + "/seed-1", tokens, 1, 5);
    run.settings["data.tokens"] = tokens + text + context;
    run.judged.conditions = {{"tokenizer", tokens}, {"text", text}, {"context", context}};
    run.wider = Judged{{"validation_bits_per_byte", false}, {{"text", text}, {"context in bytes", context}}, bits};
    return run;
  };
  const std::vector<Group> groups = groups_of({language("word", "t", "≈ 100", 2), language("bpe", "t", "≈ 104", 1.9)});
  REQUIRE(groups.size() == 3);
  CHECK(groups[0].arms.size() == 1);
  CHECK(groups[2].wider);
  CHECK(groups[2].arms.size() == 2);
  CHECK(groups[2].arms[1].runs[0].judged.result == 1.9);
  CHECK(groups_of({language("word", "t", "≈ 100", 2), language("bpe", "t", "≈ 106", 1.9)}).size() == 2);
  CHECK(groups_of({language("word", "t", "≈ 100", 2), language("bpe", "other", "≈ 100", 1.9)}).size() == 2);
  RunRecord lossy = language("bpe", "t", "≈ 100", 1.9);
  lossy.wider.reset();
  CHECK(groups_of({language("word", "t", "≈ 100", 2), lossy}).size() == 2);
}

TEST_CASE("costs that differ by more than 2 % are remarked") {
  std::vector<RunRecord> runs{record("a/seed-1", "a", 1, 1.0), record("b/seed-1", "b", 1, 1.0), record("c/seed-1", "c", 1, 1.0)};
  runs[0].parameters = 110976, runs[1].parameters = 187392, runs[2].parameters = 112000;
  runs[0].operations = 1000, runs[1].operations = 2000, runs[2].operations = 900;
  for (RunRecord& run : runs) run.step_seconds = 0.01;
  runs[2].step_seconds = 0.013;
  const std::vector<Arm> arms = groups_of(runs)[0].arms;
  CHECK(arms[0].remark == "");
  CHECK(arms[1].remark == "b has 1.69 times the parameters, 2 times the operations of a");
  CHECK(arms[2].remark == "c has 0.9 times the operations, 1.3 times the time of a step of a");
}

// The experiment's task, without weights, on little text.
std::unique_ptr<Task> task_of(Experiment& experiment) { return task_row(experiment.task.name).make(experiment, {}); }

TEST_CASE("no difference is formed across groups: all pairs of the experiments that are shipped") {
  struct Shipped {
    RunRecord run;
    std::string judged_on;   // by the experiment's own words
  };
  std::vector<Shipped> all;
  for (const auto& file : std::filesystem::directory_iterator(TAPIR_SOURCE_DIR "/attention/reproduce/experiments")) {
    std::vector<std::string> little;
    const std::string name = file.path().stem().string();
    const bool reads_files = name.starts_with("wikitext2") || name.starts_with("tinyshakespeare") || name == "text";
    if (reads_files) little = {"data.kind=generated"};
    const Experiment whole = read_experiment(file.path(), little);
    const bool images = whole.task.name == "image";
    if (images)
      little = {"data.kind=synthetic-shapes", "data.train_images=200", "data.valid_images=50", "data.test_images=50"};
    else if (whole.task.name == "language")
      little.insert(little.end(), {"data.train_tokens=30000", "data.valid_tokens=6000", "data.test_tokens=6000"});
    Experiment experiment = read_experiment(file.path(), little);
    const std::unique_ptr<Task> task = task_of(experiment);
    RunRecord run = record(file.path().stem().string() + "/seed-1", file.path().stem().string(), 1, 1.0);
    run.judged.objective = task->train_task().objective;
    run.judged.conditions = task->conditions("valid");
    const auto context = dynamic_cast<const nn::TransformerOptions*>(experiment.model.own.get());
    std::string judged_on = images ? "the same pictures" : text(section_of(experiment.task), experiment.train.batch, ' ');
    if (experiment.task.data && !images) judged_on += text(section_of(*experiment.task.data));
    if (context) judged_on += text(context->context);
    all.push_back({std::move(run), std::move(judged_on)});
  }
  CHECK(all.size() >= 17);
  size_t together = 0, apart = 0;
  for (const Shipped& a : all)
    for (const Shipped& b : all) {
      if (&a == &b) continue;
      CAPTURE(a.run.folder);
      CAPTURE(b.run.folder);
      const std::vector<Group> groups = groups_of({a.run, b.run});
      const bool same = a.judged_on == b.judged_on;
      CHECK(groups.size() == (same ? 1 : 2));
      for (const Group& group : groups)
        if (!same) CHECK(!group.arms.back().difference);
      ++(same ? together : apart);
    }
  CHECK(together > 20);
  CHECK(apart > 100);
}

}  // namespace tapir
