// Comparisons and reports: what runs of a comparison share, and the page as a reader of it meets it.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "attention/reproduce/program/compare.h"
#include "attention/reproduce/program/run_folder.h"
#include "attention/reproduce/tasks/language.h"
#include "autograd/node.h"
#include "nn/train/metrics.h"
#include "tensor/in_place.h"
#include "tests/messages.h"
#include "tests/program/program_helpers.h"

namespace tapir {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using namespace testing;

constexpr const char* tiny = R"(
[data]
kind = "file"
path = "PATH"
[model]
context = 12
width = 8
layers = 2
heads = 2
dropout = 0.1
[attention]
mechanism = "dot_product"
[train]
steps = 8
batch = 2
log_every = 2
evaluate_every = 4
save_every = 2
)";

// An experiment on a text whose words would do harm if a page took them for markup.
struct Workplace {
  Workplace() {
    std::string lines;
    for (int k = 0; k < 200; ++k)
      lines += text("<script>alert(", k % 3, ")</script> </script> &lt; \"quoted\" 'n' <b> <!-- & é ", k % 7, "\n");
    std::string toml = tiny;
    toml.replace(toml.find("PATH"), 4, folder.write("text.txt", lines).string());
    experiment = folder.write("tiny.toml", toml);
  }
  fs::path path(const std::string& name) const { return folder.path() / name; }
  std::string compare_line(const std::string& out, const std::string& rest = "--seeds 2") const {
    return "compare " + in_quotes(experiment) + " --attention dot_product,score_mlp --out " + in_quotes(path(out)) + " " + rest;
  }

  TemporaryFolder folder;
  fs::path experiment;
};

// Two mechanisms, two seeds, finished; and the report of it.
struct Compared : Workplace {
  Compared()
      : outcome(tapir(compare_line("compared"))),
        report(tapir("report " + in_quotes(path("compared")) + " --out " + in_quotes(path("page.html")))) {}
  Outcome outcome, report;
};

const Compared& compared() {
  static const Compared once;
  return once;
}

constexpr const char* all_runs[] = {"dot_product/seed-1", "dot_product/seed-2", "score_mlp/seed-1", "score_mlp/seed-2"};

CompareCommand command(const fs::path& experiment, std::vector<std::string> mechanisms,
                       std::vector<std::string> assignments) {
  return {.experiment = experiment, .mechanisms = std::move(mechanisms), .seeds = 2, .match = "", .jobs = 1,
          .assignments = std::move(assignments), .out = "out"};
}

// The text between `begin` and `end`.
std::string between(const std::string& all, const std::string& begin, const std::string& end) {
  const size_t at = all.find(begin);
  REQUIRE(at != std::string::npos);
  const size_t from = at + begin.size();
  return all.substr(from, all.find(end, from) - from);
}

std::string block_of(const std::string& page) { return between(page, "id=\"data\">", "</script>"); }

// The first fault of a page as a tree of elements: a tag that does not close, or closes what is not open.
std::string fault_of(const std::string& page) {
  std::vector<std::string> open;
  for (size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at)) {
    if (page.compare(at, 2, "<!") == 0) {
      at = page.find('>', at);
      continue;
    }
    size_t end = at + 1;
    char quote = 0;
    for (; end < page.size() && (quote || page[end] != '>'); ++end)
      if (quote ? page[end] == quote : page[end] == '"') quote = quote ? 0 : page[end];
    if (end == page.size()) return text("no end: ", page.substr(at, 40));
    const std::string tag = page.substr(at + 1, end - at - 1);
    const bool closes = tag.starts_with('/');
    const std::string name = tag.substr(closes, tag.find_first_of(" /\n", closes) - closes);
    if (name.empty() || name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") != std::string::npos)
      return text("no name: ", page.substr(at, 40));
    at = end;
    if (closes) {
      if (open.empty() || open.back() != name) return text("closes what is not open: ", name);
      open.pop_back();
    } else if (!tag.ends_with('/') && name != "meta") {
      open.push_back(name);
      if (name == "script" || name == "style") at = page.find("</" + name + ">", at);   // text, not markup
      if (at == std::string::npos) return text("never closes: ", name);
    }
  }
  return open.empty() ? "" : text("never closes: ", open.back());
}

}  // namespace

TEST_CASE("a comparison gives each mechanism its own keys of [attention], and seeds from run.seed on") {
  const Workplace place;
  std::vector<PlannedRun> runs = planned_runs(command(
      place.experiment, {"dot_product", "score_mlp"}, {"attention.hidden=5", "attention.form=paper", "run.seed=7"}));
  REQUIRE(runs.size() == 4);
  CHECK(runs[1].folder == fs::path("out/dot_product/seed-8"));
  CHECK(runs[2].folder == fs::path("out/score_mlp/seed-7"));
  CHECK(runs[2].experiment.run.seed == 7);
  CHECK(runs[2].experiment.run.name == "tiny");
  CHECK(contains_text(runs[2].experiment.toml(), "hidden = 5"));
  CHECK_FALSE(contains_text(runs[0].experiment.toml(), "hidden = 5"));

  const auto refused = [&](std::vector<std::string> mechanisms, std::vector<std::string> assignments) {
    return message_of([&] { planned_runs(command(place.experiment, std::move(mechanisms), std::move(assignments))); });
  };
  CHECK(refused({"dot_product"}, {"attention.hidden=5"}) ==
        "config: none of the mechanisms has the key 'hidden' of [attention]");
  CHECK(contains_text(refused({"dot_product", "none"}, {}),
                      "there is no mechanism 'none'; those that exist: dot_product, "));
  CHECK(refused({"score_mlp", "score_mlp"}, {}) == "--attention: 'score_mlp' is named twice");
  CHECK(contains_text(refused({"dot_product"}, {"run.seed=luck"}), "run.seed: must be a whole number in "));
  const fs::path bare = place.folder.write("bare.toml", "[data]\nkind = \"generated\"\n");
  CHECK(planned_runs(command(bare, {"linear"}, {}))[0].experiment.attention.mechanism == "linear");   // it need not speak of it
  CHECK(refused({"linear"}, {"attention.mechanism=fast"}) ==
        "--set: attention.mechanism is what --attention says; hint: leave it out");
  const fs::path mlp = place.folder.write("mlp.toml", "[task]\nname = \"function\"\n[model]\nname = \"mlp\"\n");
  CHECK(message_of([&] { planned_runs(command(mlp, {"dot_product"}, {})); }) ==
        mlp.string() + ": the model 'mlp' has no attention to compare; hint: choose another model, or compare runs of `tapir "
                       "train` in a report");
}

TEST_CASE("runs of a comparison with one seed share initial weights, batches and dropout") {
  const Workplace place;
  std::vector<PlannedRun> runs =
      planned_runs(command(place.experiment, {"dot_product", "score_mlp"}, {"attention.layers=all"}));
  LanguageTask a(runs[0].experiment), b(runs[2].experiment), other_seed(runs[3].experiment);
  std::map<std::string, std::vector<float>> values;
  a.model().each_parameter([&](const std::string& name, nn::Parameter& p) { values[name] = p.value.values<float>(); });
  size_t shared = 0, of_b_alone = 0;
  b.model().each_parameter([&](const std::string& name, nn::Parameter& p) {
    if (!values.contains(name)) return void(++of_b_alone);
    ++shared;
    CHECK(p.value.values<float>() == values[name]);
  });
  CHECK(shared == values.size());
  CHECK(of_b_alone > 0);

  // Without the output of attention the two models are one: losses of the same batches with the same dropout.
  const NoGrad guard;
  for (LanguageTask* task : {&a, &b, &other_seed})
    task->model().each_parameter([](const std::string& name, nn::Parameter& p) {
      if (name.ends_with("attention.out.weight")) fill_(p.value, 0);
    });
  const auto loss = [](LanguageTask& task, uint64_t seed, int64_t step) {
    nn::Call call;
    call.training = true;
    call.seed = seed;
    call.step = static_cast<uint32_t>(step);
    return task.train_task().loss(step, 0, 1, call).sum.item();
  };
  for (const int64_t step : {0, 1, 5}) {
    CHECK(loss(a, 1, step) == loss(b, 1, step));
    CHECK(loss(a, 1, step) != loss(other_seed, 2, step));
  }
}

TEST_CASE("compare trains every run, and its table and compare.json are what the logs say") {
  const Compared& all = compared();
  REQUIRE(all.outcome.status == 0);
  const json result = json::parse(contents(all.path("compared/compare.json")));
  REQUIRE(result["groups"].size() == 1);
  const json& group = result["groups"][0];
  CHECK(group["title"] == "");
  CHECK(group["metric"] == "validation_loss");
  CHECK(group["seed_decides"] == "initial weights, dropout, order of windows");
  std::vector<double> last;
  for (const char* run : all_runs) {
    const auto lines = read_metrics(all.path("compared") / run / "metrics.jsonl");
    CHECK(lines.back().step == 8);
    last.push_back(lines.back().number("validation_loss"));
  }
  for (int arm : {0, 1}) {
    const json& row = group["arms"][arm];
    CHECK(row["label"] == (arm ? "score_mlp" : "dot_product"));
    CHECK(row["mean"].get<double>() == doctest::Approx((last[2 * arm] + last[2 * arm + 1]) / 2).epsilon(1e-14));
    // with two seeds: t s / √2 = 12.706 |a − b| / 2
    CHECK(row["half_width"].get<double>() ==
          doctest::Approx(12.7062047 * std::abs(last[2 * arm] - last[2 * arm + 1]) / 2).epsilon(1e-7));
    CHECK(row["step_seconds"].get<double>() > 0);
    CHECK(row["peak_bytes"].get<int64_t>() > 4 * row["parameters"].get<int64_t>());
    for (int seed : {0, 1}) CHECK(row["runs"][seed]["result"].get<double>() == last[2 * arm + seed]);
  }
  const json& difference = group["arms"][1]["difference"];
  CHECK(difference["mean"].get<double>() == doctest::Approx((last[2] - last[0] + last[3] - last[1]) / 2).epsilon(1e-9));
  CHECK(contains_text(all.outcome.out, difference["verdict"].get<std::string>() + '\n'));
  CHECK(contains_text(all.outcome.out, "validation_loss after 8 steps, lower is better\n"));
  CHECK(contains_text(all.outcome.out, "\ndot_product          2  "));
}

TEST_CASE("a broken comparison goes on to the same logs, and finished runs are not repeated") {
  const Compared& all = compared();
  const fs::path out = all.path("broken");
  const std::string train = "train " + in_quotes(all.experiment) + " --seed 2 --out " + in_quotes(out);
  CHECK(tapir(train + "/dot_product/seed-2 --stop-after 3").status == 0);
  CHECK(tapir(train + "/score_mlp/seed-2 --set attention.mechanism=score_mlp --stop-after 1").status == 0);
  fs::remove_all(out / "score_mlp/seed-2/checkpoints");   // as if killed before the first one
  fs::resize_file(out / "score_mlp/seed-2/metrics.jsonl", 0);
  const Outcome resumed = tapir(all.compare_line("broken"));
  CHECK(resumed.status == 0);
  CHECK(contains_text(resumed.err, "resumed after step 3\n"));
  for (const char* run : all_runs)
    for (const char* file : {"metrics.jsonl", "model.safetensors"})
      CHECK(contents(out / run / file) == contents(all.path("compared") / run / file));

  const auto before = fs::last_write_time(out / "dot_product/seed-1/model.safetensors");
  const Outcome again = tapir(all.compare_line("broken", "--seeds 3"));
  CHECK(contains_text(again.err, "dot_product/seed-1: finished before\n"));
  CHECK(contains_text(again.out, "\nscore_mlp            3  "));
  CHECK(fs::last_write_time(out / "dot_product/seed-1/model.safetensors") == before);
  CHECK(contains_text(refusal(all.compare_line("broken", "--seeds 2 --set schedule.rate=0.1")),
                      "dot_product/seed-1: belongs to another experiment: schedule.rate is 0.1, was "));
}

TEST_CASE("a comparison goes on from the logs of what has ended, and not from those of another experiment") {
  const Compared& all = compared();
  const fs::path out = all.path("logged");
  const auto keep_logs = [&](const fs::path& run) {
    fs::create_directories(out / run);
    for (const char* file : {"experiment.toml", "run.json", "metrics.jsonl", "costs.jsonl", "environment.jsonl"})
      fs::copy(all.path("compared") / run / file, out / run / file, fs::copy_options::overwrite_existing);
  };
  for (const char* run : all_runs) keep_logs(run);
  fs::remove_all(out / "score_mlp/seed-2");
  const Outcome on = tapir(all.compare_line("logged"));
  INFO(on.err);
  CHECK(on.status == 0);
  CHECK(contains_text(on.err, "dot_product/seed-1: ended before, as its logs say\n"));
  CHECK(!fs::exists(out / "dot_product/seed-1/model.safetensors"));
  CHECK(contents(out / "score_mlp/seed-2/model.safetensors") == contents(all.path("compared/score_mlp/seed-2/model.safetensors")));
  const auto means = [&](const char* folder) {
    const json compare = json::parse(contents(all.path(folder) / "compare.json"));
    std::vector<double> found;
    for (const json& arm : compare["groups"][0]["arms"]) found.push_back(arm["mean"]);
    return found;
  };
  CHECK(means("logged") == means("compared"));
  CHECK(contains_text(refusal(all.compare_line("logged", "--seeds 2 --set schedule.rate=0.1")),
                      "dot_product/seed-1: belongs to another experiment: schedule.rate is 0.1, was "));
}

TEST_CASE("a comparison of fewer runs says of the others that it leaves them out, and so does who reads it") {
  const Compared& all = compared();
  const fs::path out = all.path("fewer");
  fs::copy(all.path("compared"), out, fs::copy_options::recursive);
  const std::string told = out.string() + ": has 3 runs more, which the comparison that was last asked for leaves out\n";
  CHECK(!contains_text(tapir(all.compare_line("fewer")).err, "runs more"));
  CHECK(contains_text(tapir("compare " + in_quotes(all.experiment) + " --attention dot_product --seeds 1 --out " + in_quotes(out)).err,
                      told));
  CHECK(contains_text(tapir("eval " + in_quotes(out)).err, told));
  CHECK(contains_text(tapir("report " + in_quotes(out) + " --out " + in_quotes(all.path("fewer.html"))).err, told));
}

TEST_CASE("a comparison that a signal stops says how it goes on") {
  const Compared& all = compared();
  const fs::path out = all.path("said"), saved = all.path("endless/dot_product/seed-1/checkpoints/manifest.json");
  const int status = std::system(("'" TAPIR_PROGRAM "' " + all.compare_line("endless", "--set train.steps=100000") + " >" +
                                  in_quotes(out) + " 2>&1 & pid=$!; while kill -0 $pid && ! [ -e " + in_quotes(saved) +
                                  " ]; do sleep 0.02; done; kill -TERM $pid; wait $pid")
                                     .c_str());
  CHECK(WEXITSTATUS(status) == 143);
  CHECK(contents(out).ends_with("\nstopped; the same command goes on\n"));
}

TEST_CASE("a comparison that cannot be gets one line") {
  const Compared& all = compared();
  CHECK(contains_text(refusal(all.compare_line("x", "--seeds 0")), "--seeds: must be a whole number in 1 … 1000, found 0"));
  CHECK(contains_text(refusal("compare " + in_quotes(all.experiment)), "--attention is required"));
  CHECK(contains_text(refusal("compare --attention dot_product"), "experiment is required"));
  CHECK(contains_text(refusal("compare " + in_quotes(all.experiment) + " --attention ''"), "--attention: must not be empty"));
  CHECK(contains_text(refusal("compare " + in_quotes(all.experiment) + " --attention dot_product,dotty"),
                      "there is no mechanism 'dotty'; those that exist: dot_product, "));
  CHECK_FALSE(fs::exists(all.path("x")));
}

TEST_CASE("the numbers of a report are those of the logs") {
  const Compared& all = compared();
  REQUIRE(all.report.status == 0);
  CHECK(all.report.err.starts_with(all.path("page.html").string() + ": 4 runs, "));
  const json data = json::parse(block_of(contents(all.path("page.html"))));
  const json& group = data["groups"][0];
  REQUIRE(group["runs"].size() == 4);
  for (size_t k = 0; k < 4; ++k) {
    const json& run = group["runs"][k];
    std::map<std::string, std::pair<std::vector<int64_t>, std::vector<double>>> curves;
    for (const MetricsLine& line : read_metrics(all.path("compared") / all_runs[k] / "metrics.jsonl"))
      for (const auto& value : line.values) {
        curves[value.first].first.push_back(line.step);
        curves[value.first].second.push_back(line.number(value.first));
      }
    CHECK(run["curves"].size() == curves.size());
    for (const auto& curve : curves) {
      CHECK(run["curves"][curve.first]["step"].get<std::vector<int64_t>>() == curve.second.first);
      CHECK(run["curves"][curve.first]["value"].get<std::vector<double>>() == curve.second.second);
    }
    CHECK(curves.contains("blocks.0.attention.score.gate") == (k >= 2));
    CHECK(run["costs"]["step"] == json({1, 2, 4, 6, 8}));
  }
  json table = json::parse(contents(all.path("compared/compare.json")))["groups"][0], shown = group;
  for (json* of : {&table, &shown})
    for (json& arm : (*of)["arms"])
      for (json& run : arm["runs"]) run.erase("folder");
  for (json& arm : shown["arms"])
    for (json& run : arm["runs"]) run["seed"] = std::stoll(run["seed"].get<std::string>());   // which the page takes for text
  shown.erase("runs");
  shown.erase("differences");
  CHECK(shown == table);
  bool mechanism = false;
  for (const json& row : group["differences"])
    if (row["key"] == "attention.mechanism") mechanism = row["values"] == json({"'dot_product'", "'score_mlp'"});
  CHECK(mechanism);
}

TEST_CASE("a report says its verdicts on standard output, unless the page goes there") {
  const Compared& all = compared();
  const auto verdict_in = [](const json& group) { return group["arms"][1]["difference"]["verdict"].get<std::string>() + '\n'; };
  CHECK(all.report.out == verdict_in(json::parse(contents(all.path("compared/compare.json")))["groups"][0]));

  REQUIRE(tapir(all.compare_line("shorter", "--seeds 2 --set model.context=6")).status == 0);
  const std::string both = "report " + in_quotes(all.path("compared")) + ' ' + in_quotes(all.path("shorter"));
  const Outcome outcome = tapir(both + " --out " + in_quotes(all.path("both.html")));
  CHECK(outcome.status == 0);
  const json data = json::parse(block_of(contents(all.path("both.html"))));
  REQUIRE(data["groups"].size() == 2);
  std::string said;
  for (const json& group : data["groups"]) said += group["title"].get<std::string>() + ": " + verdict_in(group);
  said += data["joint"][0]["statement"].get<std::string>() + '\n';
  CHECK(outcome.out == said);
  CHECK(contains_text(outcome.out, "\ncontext 6: "));
  CHECK(contains_text(outcome.out, "\nscore_mlp against dot_product, 2 groups together: "));

  const Outcome through = tapir(both + " --out /dev/stdout");
  CHECK(through.status == 0);
  CHECK(through.out == contents(all.path("both.html")));
  CHECK(through.err.ends_with(said));
}

TEST_CASE("attention maps and entropies are those of the model on the first tokens of the validation part") {
  const Compared& all = compared();
  const json data = json::parse(block_of(contents(all.path("page.html"))));
  const std::unique_ptr<OpenRun> run = open_run(all.path("compared") / all_runs[2]);
  const NoGrad guard;
  std::vector<std::pair<std::string, Tensor>> recorded;
  nn::Call call;
  call.recorder = [&](const std::string& path, const std::string& name, const Tensor& value) {
    if (name == "weights") recorded.emplace_back(path, value);
  };
  auto& task = dynamic_cast<LanguageTask&>(*run->task);
  const std::vector<int32_t>& valid = task.corpus().valid;
  task.logits({1, 12, std::vector<int32_t>(valid.begin(), valid.begin() + 12), {}}, call);
  const json& attention = data["groups"][0]["runs"][2]["attention"];
  CHECK(attention["weights"] == run->weights);
  for (size_t t = 0; t < 12; ++t) CHECK(attention["tokens"][t] == task.tokenizer().vocabulary().entry(valid[t]));
  REQUIRE(attention["layers"].size() == 2);
  for (size_t layer = 0; layer < 2; ++layer) {
    CHECK(attention["layers"][layer]["path"] == recorded[layer].first);
    const std::vector<float> weights = recorded[layer].second.values<float>();
    for (size_t head = 0; head < 2; ++head) {
      const json& shown = attention["layers"][layer]["heads"][head];
      double entropy = 0, uniform = 0;
      for (size_t t = 0; t < 12; ++t) {
        for (size_t s = 0; s < 12; ++s) {
          const double a = weights[(head * 12 + t) * 12 + s];
          CHECK(std::abs(shown["rows"][t][s].get<double>() - 1000 * a) <= 0.5);
          if (s <= t) entropy -= a * std::log(a) / 12;
        }
        uniform += std::log(static_cast<double>(t + 1)) / 12;
      }
      CHECK(shown["entropy"].get<double>() == doctest::Approx(entropy).epsilon(1e-9));
      CHECK(shown["uniform"].get<double>() == doctest::Approx(uniform).epsilon(1e-12));
    }
  }
}

TEST_CASE("a report is well-formed, loads nothing, and no text of the data becomes markup") {
  const std::string page = contents(compared().path("page.html")), block = block_of(page);
  CHECK(fault_of(page) == "");
  CHECK(fault_of("<p><b></p></b>") == "closes what is not open: p");   // the checker finds faults
  CHECK(fault_of("<p><b></b>") == "never closes: p");
  CHECK(block.find('<') == std::string::npos);
  CHECK(contains_text(json::parse(block)["groups"][0]["runs"][0]["attention"]["tokens"].dump(), "<script>alert("));
  std::string frame = page;
  frame.erase(frame.find(block), block.size());
  for (const char* loader : {"http", "src=", "href", "url(", "@import", "import(", "fetch", "XMLHttp", "WebSocket"})
    CHECK_MESSAGE(!contains_text(frame, loader), loader);
  for (const char* parser : {"innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "new Function"})
    CHECK_MESSAGE(!contains_text(frame, parser), parser);
}

TEST_CASE("a report of single runs, of stopped ones, and of runs whose data are gone") {
  const Compared& all = compared();
  const fs::path stopped = all.path("stopped"), gone = all.path("gone"), page = all.path("some.html");
  CHECK(tapir("train " + in_quotes(all.experiment) + " --stop-after 5 --out " + in_quotes(stopped)).status == 0);
  fs::copy(all.path("compared/score_mlp/seed-1"), gone, fs::copy_options::recursive);
  fs::remove(gone / "tokenizer.json");
  const Outcome outcome =
      tapir("report " + in_quotes(stopped.string() + '/') + ' ' + in_quotes(gone) + " --out " + in_quotes(page));
  CHECK(outcome.status == 0);
  CHECK(contains_text(outcome.err, "no attention maps: "));
  const json data = json::parse(block_of(contents(page)));
  CHECK(data["groups"][0]["arms"][0]["label"] == "stopped");
  CHECK(data["groups"][0]["arms"][0]["mean"].is_null());
  CHECK(data["groups"][0]["arms"][0]["runs"][0]["done"] == 4);
  CHECK(data["groups"][0]["arms"][0]["runs"][0]["evaluated"] == 4);
  CHECK(contains_text(data["groups"][0]["arms"][1]["difference"]["verdict"].get<std::string>(), "no verdict"));
  CHECK(data["groups"][0]["runs"][0]["attention"]["layers"].size() == 2);
  CHECK(contains_text(data["groups"][0]["runs"][1]["attention"]["missing"].get<std::string>(), "tokenizer.json"));
}

TEST_CASE("long curves are thinned, and keep their first and last points") {
  const Compared& all = compared();
  const fs::path run = all.path("long"), page = all.path("long.html");
  fs::copy(all.path("compared/dot_product/seed-1"), run, fs::copy_options::recursive);
  std::string lines;
  for (int step = 1; step <= 5000; ++step) lines += text("{\"step\":", step, ",\"loss\":", step / 8.0, "}\n");
  all.folder.write("long/metrics.jsonl", lines);
  CHECK(tapir("report " + in_quotes(run) + " --out " + in_quotes(page)).status == 0);
  const json data = json::parse(block_of(contents(page)));
  const auto steps = data["groups"][0]["runs"][0]["curves"]["loss"]["step"].get<std::vector<int64_t>>();
  const auto values = data["groups"][0]["runs"][0]["curves"]["loss"]["value"].get<std::vector<double>>();
  CHECK(steps.size() == 1668);   // every third of 5000, and the last
  CHECK(steps.front() == 1);
  CHECK(steps.back() == 5000);
  for (size_t k = 0; k < steps.size(); ++k) CHECK(values[k] == static_cast<double>(steps[k]) / 8);
}

TEST_CASE("a report that cannot be gets one line") {
  const Compared& all = compared();
  CHECK(contains_text(refusal("report"), "runs is required"));
  CHECK(contains_text(refusal("report " + in_quotes(all.folder.path())), ": is no run: it has no experiment.toml"));
  const std::string run = in_quotes(all.path("compared/dot_product/seed-1"));
  CHECK(contains_text(refusal("report " + run + ' ' + run), "is the same experiment with the same seed as "));
  CHECK(contains_text(refusal("report " + run + " --out " + in_quotes(all.path("nowhere/page.html"))), "No such file"));
  const fs::path old = all.path("old");
  fs::copy(all.path("compared/dot_product/seed-1"), old, fs::copy_options::recursive);
  fs::remove(old / "run.json");
  CHECK(contains_text(refusal("report " + in_quotes(old)),
                      "run.json: there is no such file; hint: tapir train --resume writes it"));
  all.folder.write("old/run.json", "{\"parameters\": \"many\"}");
  CHECK(contains_text(refusal("report " + in_quotes(old)),
                      "run.json: \"parameters\" must be a whole number below 2^63, found \"many\""));
  all.folder.write("old/run.json", "{\"parameters\": 3, \"operations\": 3, \"seed\": 3}");
  CHECK(contains_text(refusal("report " + in_quotes(old)), "run.json: is malformed: "));
  all.folder.write("old/compare.json", "{\"groups\": []}");
  CHECK(contains_text(refusal("report " + in_quotes(old)), "runs: there are none"));
  all.folder.write("old/compare.json", "{\"groups\": 3}");
  CHECK(contains_text(refusal("report " + in_quotes(old)), "compare.json: is malformed: "));
}

}  // namespace tapir
