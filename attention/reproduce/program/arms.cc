#include "attention/reproduce/program/arms.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "attention/reproduce/program/streams.h"

namespace tapir {
namespace {

std::string experiment_of(const RunRecord& run) {   // equal for the seeds of one experiment
  std::string all;
  for (const auto& [key, value] : run.settings)
    if (key != "run.seed" && key != "run.name") all += text(key, " = ", value, '\n');
  return all;
}

std::string label_of(const Arm& arm) {
  const std::string name = arm.runs.front().name();
  const bool one = std::all_of(arm.runs.begin(), arm.runs.end(), [&](const RunRecord& run) { return run.name() == name; });
  return one ? name : text(name, " and ", arm.runs.size() - 1, " more");
}

// Null when none has.
const RunRecord* first_diverged(const Arm& arm) {
  for (const RunRecord& run : arm.runs)
    if (!run.diverged.empty()) return &run;
  return nullptr;
}

std::vector<double> paired(const Arm& arm, const Arm& baseline) {
  std::vector<double> differences;
  if (first_diverged(arm) || first_diverged(baseline)) return differences;
  for (const RunRecord& run : arm.runs)
    for (const RunRecord& other : baseline.runs)
      if (run.seed == other.seed && run.finished() && other.finished())
        differences.push_back(run.judged.result - other.judged.result);
  return differences;
}

std::vector<Arm> arms_of(std::vector<RunRecord> runs) {
  std::vector<Arm> arms;
  std::map<std::string, size_t> positions;   // in `arms`, by experiment
  for (RunRecord& run : runs) {
    const size_t position = positions.try_emplace(experiment_of(run), arms.size()).first->second;
    if (position == arms.size()) arms.emplace_back();
    for (const RunRecord& other : arms[position].runs)
      require(other.seed != run.seed, run.folder.string(),
              [&] { return text("is the same experiment with the same seed as ", other.folder.string()); },
              "give one of them");
    arms[position].runs.push_back(std::move(run));
  }
  std::set<std::string> labels;
  for (Arm& arm : arms) {
    arm.label = label_of(arm);
    if (!labels.insert(arm.label).second) arm.label = arm.runs.front().folder.string();
  }
  return arms;
}

std::vector<Group> grouped(std::vector<RunRecord> runs, bool wider) {
  std::vector<Group> groups;
  std::vector<std::vector<RunRecord>> members;
  for (RunRecord& run : runs) {
    const auto found = std::find_if(groups.begin(), groups.end(), [&](const Group& group) {
      return incomparable({group.objective, group.conditions}, run.judged).empty();
    });
    const auto position = static_cast<size_t>(found - groups.begin());
    if (found == groups.end()) {
      groups.push_back({.title = {},
                        .conditions = run.judged.conditions,
                        .objective = run.judged.objective,
                        .wider = wider,
                        .arms = {}});
      members.emplace_back();
    }
    members[position].push_back(std::move(run));
  }
  for (size_t k = 0; k < groups.size(); ++k) groups[k].arms = arms_of(std::move(members[k]));
  return groups;
}

// Groups in the wider unit that join runs of several groups.
std::vector<Group> wider_groups(const std::vector<Group>& groups) {
  std::vector<RunRecord> runs;
  std::map<std::filesystem::path, size_t> narrow;   // group of each run
  for (size_t k = 0; k < groups.size(); ++k)
    for (const Arm& arm : groups[k].arms)
      for (RunRecord run : arm.runs) {
        narrow[run.folder] = k;
        if (!run.wider) continue;
        run.judged = *run.wider;
        runs.push_back(std::move(run));
      }
  std::vector<Group> all = grouped(std::move(runs), true);
  std::erase_if(all, [&](const Group& group) {
    std::set<size_t> joined;
    for (const Arm& arm : group.arms)
      for (const RunRecord& run : arm.runs) joined.insert(narrow[run.folder]);
    return joined.size() < 2;
  });
  return all;
}

void name_groups(std::vector<Group>& groups) {
  std::map<std::string, std::set<std::string>> values;
  std::map<std::string, size_t> present;
  for (const Group& group : groups)
    for (const auto& [name, value] : group.conditions) values[name].insert(value), ++present[name];
  for (Group& group : groups)
    for (const auto& [name, value] : group.conditions)
      if (values[name].size() > 1 || present[name] < groups.size())
        group.title += text(group.title.empty() ? "" : ", ", name, ' ', value);
}

std::string verdict_of(const Group& group, const Arm& arm, const Difference& difference, size_t comparisons) {
  const Arm& baseline = group.arms.front();
  const std::string against = text(arm.label, " against ", baseline.label), &metric = group.objective.metric;
  const size_t pairs = difference.values.size();
  for (const Arm* one : {&arm, &baseline})
    if (const RunRecord* run = first_diverged(*one))
      return fmt::format("{}: no verdict, {} with seed {} has diverged", against, one->label, run->seed);
  if (pairs < 2) return against + ": no verdict, a paired interval needs two seeds that both have finished";
  const std::string paired = fmt::format("paired over {} seeds{}", pairs,
                                         comparisons > 1 ? fmt::format(", one of {} comparisons", comparisons) : "");
  if (!(difference.corrected < 0.05))
    return fmt::format("{}: no difference shown, {} differs by {:.3g} ± {:.2g}, {}", against, metric,
                       difference.interval.mean, difference.interval.half_width, paired);
  const bool higher = difference.interval.mean > 0;
  return fmt::format("{} is {} than {}: {} is {} by {:.3g} ± {:.2g}, {}", arm.label,
                     higher == group.objective.higher_is_better ? "better" : "worse", baseline.label, metric,
                     higher ? "higher" : "lower", std::abs(difference.interval.mean), difference.interval.half_width, paired);
}

void take_differences(std::vector<Group>& groups) {
  std::vector<double> p;
  for (Group& group : groups)
    for (Arm& arm : group.arms)
      if (&arm != &group.arms.front()) {
        arm.difference.emplace();
        arm.difference->values = paired(arm, group.arms.front());
        p.push_back(arm.difference->p = student_p(arm.difference->values));
      }
  const std::vector<Corrected> corrected = holm(p);
  const auto comparisons = std::count_if(p.begin(), p.end(), [](double one) { return !std::isnan(one); });
  size_t k = 0;
  for (Group& group : groups)
    for (Arm& arm : group.arms)
      if (arm.difference) {
        const double level = std::isnan(p[k]) ? 0.95 : corrected[k].level;
        arm.difference->interval = mean_interval(arm.difference->values, level);
        arm.difference->corrected = corrected[k++].p;
        arm.difference->verdict = verdict_of(group, arm, *arm.difference, comparisons);
      }
}

// "1.69 times the parameters, 0.9 times the time of a step of dot_product"
void remark_costs(std::vector<Group>& groups) {
  constexpr double worth_saying = 1.02;
  for (Group& group : groups) {
    const Arm& baseline = group.arms.front();
    for (Arm& arm : group.arms) {
      const auto add = [&](const char* what, double own, double of) {
        const double ratio = own / of;
        if (ratio > worth_saying || ratio < 1 / worth_saying)
          arm.remark += fmt::format("{}{:.3g} times the {}", arm.remark.empty() ? "" : ", ", ratio, what);
      };
      add("parameters", static_cast<double>(arm.runs.front().parameters), static_cast<double>(baseline.runs.front().parameters));
      add("operations", static_cast<double>(arm.runs.front().operations), static_cast<double>(baseline.runs.front().operations));
      add("time of a step", arm.step_seconds(), baseline.step_seconds());
      if (!arm.remark.empty()) arm.remark = text(arm.label, " has ", arm.remark, " of ", baseline.label);
    }
  }
}

}  // namespace

Interval Arm::result() const {
  std::vector<double> results;
  if (first_diverged(*this)) return mean_interval(results);
  for (const RunRecord& run : runs)
    if (run.finished()) results.push_back(run.judged.result);
  return mean_interval(results);
}

double Arm::step_seconds() const {
  std::vector<double> seconds;
  for (const RunRecord& run : runs) seconds.push_back(run.step_seconds);
  return median(std::move(seconds));
}

int64_t Arm::peak_bytes() const {
  int64_t peak = 0;
  for (const RunRecord& run : runs) peak = std::max(peak, run.peak_bytes);
  return peak;
}

std::vector<Group> groups_of(std::vector<RunRecord> runs) {
  require(!runs.empty(), "runs", [] { return "there are none"; });
  std::vector<Group> groups = grouped(std::move(runs), false);
  name_groups(groups);
  std::vector<Group> wider = wider_groups(groups);
  name_groups(wider);
  groups.insert(groups.end(), std::make_move_iterator(wider.begin()), std::make_move_iterator(wider.end()));
  take_differences(groups);
  remark_costs(groups);
  return groups;
}

std::vector<Joint> joint_statements(const std::vector<Group>& groups) {
  std::vector<Joint> all;
  for (const Group& group : groups)
    for (const Arm& arm : group.arms) {
      if (!arm.difference || group.wider) continue;
      const std::string& baseline = group.arms.front().label;
      auto found = std::find_if(all.begin(), all.end(),
                                [&](const Joint& joint) { return joint.arm == arm.label && joint.baseline == baseline; });
      if (found == all.end()) found = all.insert(all.end(), Joint{arm.label, baseline});
      ++found->groups;
      for (const double value : arm.difference->values)
        ++(value == 0 ? found->ties : (value > 0) == group.objective.higher_is_better ? found->wins : found->losses);
    }
  std::erase_if(all, [](const Joint& joint) { return joint.groups < 2; });
  for (Joint& joint : all) {
    joint.p = sign_p(joint.wins, joint.losses);
    const char* found = !(joint.p < 0.05) ? "no difference shown" : joint.wins > joint.losses ? "better" : "worse";
    joint.statement = fmt::format("{} against {}, {} groups together: {}; of the pairs with equal seeds {} are won, {} lost and {} "
                                  "tied", joint.arm, joint.baseline, joint.groups, found, joint.wins, joint.losses, joint.ties);
    if (!std::isnan(joint.p)) joint.statement += fmt::format(" (sign test, p = {:.2g})", joint.p);
  }
  return all;
}

bool tell_diverged(const std::vector<Group>& groups) {
  bool any = false;
  for (const Group& group : groups)
    for (const Arm& arm : group.arms)
      for (const RunRecord& run : arm.runs)
        if (!run.diverged.empty() && !group.wider) any = true, note(text(run.folder.string(), ": has diverged: ", run.diverged));
  return any;
}

nlohmann::ordered_json comparison_json(const std::vector<Group>& groups, const std::filesystem::path& base) {
  using Json = nlohmann::ordered_json;
  const auto number = [](double value) { return std::isnan(value) ? Json() : Json(value); };   // null: there is none
  const auto run_json = [&](const RunRecord& run) -> Json {
    return {{"folder", base.empty() ? run.folder.string() : run.folder.lexically_relative(base).string()},
            {"seed", run.seed},
            {"steps", run.steps},
            {"done", run.done},
            {"evaluated", run.evaluated},
            {"finished", run.finished()},
            {"solved", run.solved ? Json(run.solved) : Json()},
            {"result", number(run.judged.result)},
            {"step_seconds", number(run.step_seconds)},
            {"peak_bytes", run.peak_bytes},
            {"criterion", run.trial.empty() ? Json() : Json(run.trial.substr(0, 12))},
            {"diverged", run.diverged.empty() ? Json() : Json(run.diverged)}};
  };
  const auto arm_json = [&](const Arm& arm) {
    const Interval result = arm.result();
    Json row = {{"label", arm.label},
                {"mean", number(result.mean)},
                {"half_width", number(result.half_width)},
                {"parameters", arm.runs.front().parameters},
                {"operations", arm.runs.front().operations},
                {"step_seconds", number(arm.step_seconds())},
                {"peak_bytes", arm.peak_bytes()},
                {"remark", arm.remark}};
    if (arm.difference)
      row["difference"] = {{"mean", number(arm.difference->interval.mean)},
                           {"half_width", number(arm.difference->interval.half_width)},
                           {"values", arm.difference->values},
                           {"p", number(arm.difference->p)},
                           {"corrected", number(arm.difference->corrected)},
                           {"verdict", arm.difference->verdict}};
    row["runs"] = Json::array();
    for (const RunRecord& run : arm.runs) row["runs"].push_back(run_json(run));
    return row;
  };
  Json all = {{"groups", Json::array()}, {"joint", Json::array()}};
  for (const Group& group : groups) {
    Json arms = Json::array();
    for (const Arm& arm : group.arms) arms.push_back(arm_json(arm));
    all["groups"].push_back({{"title", group.title},
                             {"conditions", json_of(group.conditions)},
                             {"metric", group.objective.metric},
                             {"higher_is_better", group.objective.higher_is_better},
                             {"wider", group.wider},
                             {"seed_decides", group.arms.front().runs.front().seed_decides},
                             {"arms", std::move(arms)}});
  }
  for (const Joint& joint : joint_statements(groups))
    all["joint"].push_back({{"arm", joint.arm},
                            {"baseline", joint.baseline},
                            {"groups", joint.groups},
                            {"wins", joint.wins},
                            {"losses", joint.losses},
                            {"ties", joint.ties},
                            {"p", number(joint.p)},
                            {"statement", joint.statement}});
  return all;
}

}  // namespace tapir
