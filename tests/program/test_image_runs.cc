// Runs that learn images, as processes: exact resume, threads, what they predict, where they are moved, and reports.
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "attention/reproduce/program/statistics.h"
#include "attention/reproduce/program/streams.h"
#include "attention/zoo.h"
#include "nn/files/safetensors.h"
#include "tests/datasets/image_helpers.h"
#include "tests/messages.h"
#include "tests/program/plant.h"
#include "tests/program/program_helpers.h"

namespace tapir {
namespace {

using namespace testing;
namespace fs = std::filesystem;

// Everything that has a state or draws something: batch norm, averages, augmentation of every kind, mixing, dropout, parts.
const char* const everything =
    "[task]\nname = 'image'\nlabel_smoothing = 0.1\n"
    "[data]\nkind = 'synthetic-shapes'\nsize = 16\ntrain_images = 40\nvalid_images = 12\ntest_images = 12\ncrop_padding = 1\nflip = "
    "0.5\nrotation = 10\nbrightness = 0.2\ncontrast = 0.2\nsaturation = 0.2\nhue = 0.1\nerasing = 0.3\nmixup = 0.4\ncutmix = 1\n"
    "[model]\nname = 'vit'\npatch = 8\nstem = 'convolution'\npool = 'class'\npositions = 'rotary'\nwidth = 16\nlayers = 2\nheads = "
    "2\ndropout = 0.1\ndrop_path = 0.1\n"
    "[train]\nsteps = 8\nbatch = 8\naccumulate = 2\nema = 0.9\nlog_every = 1\nevaluate_every = 4\nsave_every = 3\n";

struct Trained {
  TemporaryFolder folder;
  fs::path experiment, run;
  std::string digest;
};

const Trained& trained() {
  static const auto* const one = [] {
    auto* const own = new Trained;
    own->experiment = own->folder.write("images.toml", everything);
    own->run = own->folder.path() / "run";
    const Outcome outcome = tapir("train " + in_quotes(own->experiment) + " --out " + in_quotes(own->run));
    REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
    own->digest = digest_in(outcome.out);
    return own;
  }();
  return *one;
}

// The block of JSON of a report of these runs.
nlohmann::json reported(const std::string& runs) {
  const TemporaryFolder folder;
  const fs::path page = folder.path() / "page.html";
  const Outcome outcome = tapir("report " + runs + " --out " + in_quotes(page));
  REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
  const std::string html = contents(page), begin = "<script type=\"application/json\" id=\"data\">";
  const size_t at = html.find(begin) + begin.size();
  return nlohmann::json::parse(html.substr(at, html.find("</script>", at) - at));
}

fs::path png() { return fs::path(TAPIR_SOURCE_DIR) / "tests" / "golden" / "images" / "rgb.png"; }

}  // namespace

TEST_CASE("images: a run that is cut anywhere ends with the bits of one that is not, with everything on") {
  for (const int cut : {1, 3, 5}) {
    CAPTURE(cut);
    const fs::path run = trained().folder.path() / ("cut" + std::to_string(cut));
    const Outcome stopped = tapir("train " + in_quotes(trained().experiment) + " --out " + in_quotes(run) + " --stop-after " +
                                  std::to_string(cut));
    REQUIRE(stopped.status == 0);
    CHECK(digest_in(tapir("train --resume " + in_quotes(run)).out) == trained().digest);
    CHECK(contents(run / "metrics.jsonl") == contents(trained().run / "metrics.jsonl"));
  }
}

TEST_CASE("images: a memory that batches write is logged, kept and taken up again, with the same bits wherever a run is cut") {
  const TemporaryFolder folder;
  const fs::path experiment = folder.write(
      "associative.toml", std::string(everything) + "[attention]\nmechanism = 'associative'\nslots = 4\nslot_width = 3\nselected = 5\n");
  const auto train = [&](const std::string& name, const std::string& rest) {
    const Outcome outcome = tapir("train " + in_quotes(experiment) + " --out " + in_quotes(folder.path() / name) + rest);
    REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
    return outcome;
  };
  const auto memory_in = [&](const fs::path& file) {
    return load_safetensors(file).tensor("blocks.1.attention.workspace.memory").values<float>();
  };
  const std::string digest = digest_in(train("whole", "").out);
  CHECK(contains_text(contents(folder.path() / "whole" / "metrics.jsonl"), "blocks.1.attention.workspace.balance"));
  train("shorter", " --set train.steps=4");
  CHECK(memory_in(folder.path() / "whole" / "model.safetensors") != memory_in(folder.path() / "shorter" / "model.safetensors"));
  for (const int cut : {1, 3, 5}) {
    const std::string name = "cut" + std::to_string(cut);
    train(name, " --stop-after " + std::to_string(cut));
    CHECK(digest_in(tapir("train --resume " + in_quotes(folder.path() / name)).out) == digest);
    CHECK(contents(folder.path() / name / "metrics.jsonl") == contents(folder.path() / "whole" / "metrics.jsonl"));
    CHECK(memory_in(folder.path() / name / "model.safetensors") == memory_in(folder.path() / "whole" / "model.safetensors"));
  }
}

TEST_CASE("images: the same bits with 2 and 3 threads") {
  for (const char* threads : {"--threads 2", "--threads 3"}) {
    const fs::path run = trained().folder.path() / threads;
    const Outcome outcome =
        tapir("train " + in_quotes(trained().experiment) + " --out " + in_quotes(run), "", threads);
    REQUIRE(outcome.status == 0);
    CHECK(digest_in(outcome.out) == trained().digest);
  }
}

TEST_CASE("images: a run that was moved predicts from what its folder has; what cannot be predicted is one line") {
  const fs::path moved = trained().folder.path() / "moved";
  fs::copy(trained().run, moved, fs::copy_options::recursive);
  const Outcome shown = tapir("predict " + in_quotes(moved) + ' ' + in_quotes(png()) + " --top 2", "TAPIR_DATA=/nowhere");
  REQUIRE_MESSAGE(shown.status == 0, shown.err);
  CHECK(shown.out.starts_with(png().string() + ": "));
  CHECK(std::count(shown.out.begin(), shown.out.end(), ',') == 1);   // two classes
  const nlohmann::json json = nlohmann::json::parse(tapir("predict " + in_quotes(moved) + ' ' + in_quotes(png()) + " --json --top 9").out);
  double sum = 0;
  for (const auto& one : json.at("images")[0].at("classes")) sum += one.at("probability").get<double>();
  CHECK(sum == doctest::Approx(1).epsilon(1e-6));   // five classes are all

  CHECK(contains_text(refusal("predict " + in_quotes(moved) + " nowhere.png"), "nowhere.png"));
  CHECK(contains_text(refusal("predict " + in_quotes(moved) + ' ' + in_quotes(trained().experiment)), "images.toml: "));
  const fs::path parity = trained().folder.write(
      "parity.toml", "[task]\nname = 'parity'\nsize = 4\n[model]\ncontext = 16\nwidth = 8\nlayers = 1\nheads = 1\n[train]\nsteps = 1\nbatch = 2\n");
  REQUIRE(tapir("train " + in_quotes(parity) + " --out " + in_quotes(trained().folder.path() / "parity")).status == 0);
  CHECK(contains_text(refusal("predict " + in_quotes(trained().folder.path() / "parity") + ' ' + in_quotes(png())),
                      "parity has learned the task 'parity', not images"));
  CHECK(contains_text(refusal("eval " + in_quotes(trained().folder.path() / "parity") + " --data " + in_quotes(moved)),
                      "parity: its task 'parity' has no data of its own"));
  CHECK(contains_text(refusal("eval --classes " + in_quotes(trained().folder.path() / "parity")), "the task 'parity' has no classes"));
  CHECK(contains_text(refusal("generate " + in_quotes(moved)), "moved has learned the task 'image', not a text"));
}

TEST_CASE("images: eval takes images from elsewhere, by the names of their classes, and says how many of them it read") {
  const TemporaryFolder folder;
  const auto write = [&](const std::string& place, const std::vector<std::string>& names, int count) {
    for (const std::string& name : names)
      for (int k = 0; k < count; ++k) folder.write(text(place, '/', name, '/', k, ".png"), contents(png()));
    return folder.path() / place;
  };
  const std::string run = in_quotes(trained().run);
  const auto results = [&](const std::string& arguments) {
    const Outcome outcome = tapir("eval --json " + arguments);
    REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
    return nlohmann::json::parse(outcome.out).at("runs").at(0);
  };
  // Drawn classes are not in the order of a folder, and 16 pixels wide, not 32.
  const fs::path shapes = write("shapes", {"circle", "cross", "ring", "square", "triangle"}, 11);
  const nlohmann::json drawn = results(run + " --data " + in_quotes(shapes));
  CHECK(drawn.at("results").at("images") == 5);   // a class gives two to the test, then one of nine
  CHECK(drawn.at("signature").at("of") == "55 images");
  CHECK(drawn.at("signature").at("NOT the run's own data:").get<std::string>().starts_with("valid is "));
  CHECK_FALSE(results(run).at("signature").contains("of"));
  CHECK(contains_text(refusal("eval " + run + " --data " + in_quotes(write("two", {"circle", "cross"}, 3))),
                      "expected the classes that the model was trained on, found no "));
  CHECK(contains_text(refusal("eval " + run + " --data " + in_quotes(folder.path() / "nowhere")),
                      "nowhere, the images that the run needs; hint: `tapir eval --data PATH`"));

  // Ten classes of one's own: the five likeliest count as well, files of CIFAR with the same names do, and a folder that was
  // moved is the run's own.
  std::vector<std::string> ten;
  for (int k = 0; k < 10; ++k) ten.push_back(text("class ", k));
  const fs::path experiment = folder.write(
      "ten.toml", "[task]\nname = 'image'\n[data]\nkind = 'folder'\npath = '" + write("ten", ten, 3).string() +
                      "'\n[model]\nname = 'vit'\npatch = 8\nwidth = 8\nlayers = 1\nheads = 1\n[train]\nsteps = 1\nbatch = 2\n");
  const fs::path own = folder.path() / "run";
  const Outcome training = tapir("train " + in_quotes(experiment) + " --out " + in_quotes(own));
  REQUIRE_MESSAGE(training.status == 0, training.err);
  CHECK(contains_text(contents(own / "metrics.jsonl"), "\"validation_top5\""));
  const nlohmann::json before = results(in_quotes(own));
  CHECK(before.at("results").at("images") == 10);
  const auto right = static_cast<int64_t>(std::lround(10 * before.at("results").at("top 5").get<double>()));
  CHECK(right == 5);   // images are all the same, one of each class
  CHECK(before.at("results").at("top 5 95 %") == ends_of(wilson(right, 10)));
  fs::rename(folder.path() / "ten", folder.path() / "moved");
  CHECK(contains_text(refusal("eval " + in_quotes(own)), "config: data.path: there is no "));
  nlohmann::json moved = results(in_quotes(own) + " --data " + in_quotes(folder.path() / "moved"));
  CHECK(moved == before);
  write_cifar(cifar_10(), folder.path() / "cifar");
  const nlohmann::json cifar = results("--part test " + in_quotes(own) + " --data " + in_quotes(folder.path() / "cifar"));
  CHECK(cifar.at("results").at("images") == 10'000);
  CHECK(cifar.at("signature").at("data") == "cifar-10");
}

TEST_CASE("images: a damaged images.json is an error of every command that opens the run") {
  const fs::path broken = trained().folder.path() / "broken";
  fs::copy(trained().run, broken, fs::copy_options::recursive);
  std::string text = contents(broken / "images.json");
  text.replace(text.find("circle"), 6, "square");
  std::ofstream(broken / "images.json") << text;
  for (const std::string command : {"eval ", "train --resume "})
    CHECK(contains_text(refusal(command + in_quotes(broken)), "images.json"));
  CHECK(contains_text(refusal("predict " + in_quotes(broken) + ' ' + in_quotes(png())), "images.json"));
}

TEST_CASE("images: eval has accuracy with its interval; a report has the images, their guesses and maps of every head") {
  const Outcome outcome = tapir("eval " + in_quotes(trained().run) + " --json");
  REQUIRE(outcome.status == 0);
  const nlohmann::json results = nlohmann::json::parse(outcome.out).at("runs")[0].at("results");
  CHECK(results.contains("accuracy"));
  CHECK(results.contains("95 %"));
  CHECK(results.contains("calibration"));
  const nlohmann::json counts = nlohmann::json::parse(outcome.out).at("runs")[0].at("confusion");
  int64_t all = 0, right = 0;
  for (size_t label = 0; label < 5; ++label)
    for (size_t guess = 0; guess < 5; ++guess) {
      all += counts[label][guess].get<int64_t>();
      if (label == guess) right += counts[label][guess].get<int64_t>();
    }
  CHECK(results.at("images") == all);
  CHECK(results.at("accuracy").get<double>() == doctest::Approx(static_cast<double>(right) / static_cast<double>(all)).epsilon(1e-3));
  const std::string table = tapir("eval --classes " + in_quotes(trained().run)).out;
  for (const std::string shape : {"circle", "square", "triangle"}) CHECK(contains_text(table, "\n  " + shape + ' '));
  const nlohmann::json images = reported(in_quotes(trained().run)).at("groups")[0].at("runs")[0].at("images");
  CHECK(images.at("images").size() == 8);
  CHECK(images.at("images")[0].at("pixels").size() == 16 * 16 * 3);
  CHECK(images.at("images")[0].at("likeliest").size() == 3);
  CHECK(images.at("rows") == 2);
  CHECK(images.at("layers").size() == 2);
  CHECK(images.at("layers")[1].at("heads").size() == 2);
  CHECK(images.at("layers")[1].at("heads")[1].size() == 8);
  CHECK(images.at("layers")[1].at("heads")[1][7].size() == 4);
  CHECK(images.at("rollout").size() == 8);
  CHECK(images.at("confusion") == counts);
  const auto told = images.at("results").get<std::vector<std::pair<std::string, std::string>>>();
  CHECK(nlohmann::json(json_of(told)) == results);
  for (size_t k = 0; k < 5; ++k) {
    const auto row = counts[k].get<std::vector<int64_t>>();
    CHECK(images.at("found")[k] == ends_of(wilson(row[k], std::accumulate(row.begin(), row.end(), int64_t{0}))));
  }
}

TEST_CASE("images: a report of any mechanism that sees them has a map of every head, and a rollout or why there is none") {
  const TemporaryFolder folder;
  std::string runs;
  std::set<std::string> seen;
  for (const Mechanism& row : zoo()) {
    CAPTURE(row.name);
    const fs::path experiment = folder.write(
        row.name + ".toml",
        "[task]\nname = 'image'\n[data]\nkind = 'synthetic-shapes'\nsize = 16\ntrain_images = 10\nvalid_images = 5\n"
        "test_images = 5\n[model]\nname = 'vit'\npatch = 4\nwidth = 16\nlayers = 2\nheads = 2\n[attention]\nmechanism = '" +
            row.name + "'\n[train]\nsteps = 1\nbatch = 2\n");
    const fs::path run = folder.path() / row.name;
    const Outcome outcome = tapir("train " + in_quotes(experiment) + " --out " + in_quotes(run));
    REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
    runs += ' ' + in_quotes(run);
  }
  // Weights that are no distributions after this one step: by sign or by sum; of flatten some queries have no features.
  const std::set<std::string> with_signs{"delta_rule", "fourier", "galerkin", "gated_linear"};
  const std::set<std::string> with_other_sums{"differential", "flatten", "sigmoid"};
  const nlohmann::json data = reported(runs);
  for (const nlohmann::json& group : data.at("groups"))
    for (const nlohmann::json& run : group.at("runs")) {
      const std::string name = group.at("arms").at(run.at("arm").get<size_t>()).at("label");
      CAPTURE(name);
      seen.insert(name);
      const nlohmann::json& images = run.at("images");
      REQUIRE(images.at("layers").size() == 2);
      bool any_sign = false;
      for (const nlohmann::json& layer : images.at("layers")) {
        any_sign = any_sign || layer.at("signed");
        REQUIRE(layer.at("heads").size() == 2);
        for (const nlohmann::json& head : layer.at("heads")) {
          REQUIRE(head.size() == 5);
          for (const nlohmann::json& map : head) {
            REQUIRE(map.size() == 16);
            CHECK(*std::max_element(map.begin(), map.end()) == 1000);
            CHECK(*std::min_element(map.begin(), map.end()) >= 0);
          }
        }
      }
      CHECK(any_sign == with_signs.contains(name));
      const nlohmann::json& shown = run.at("attention").at("layers");   // of the first image alone
      CHECK(std::any_of(shown.begin(), shown.end(), [](const auto& layer) { return layer.at("signed"); }) == any_sign);
      if (with_signs.contains(name) || with_other_sums.contains(name)) {
        CHECK(images.at("no_rollout") == "rows of weights of blocks.0.attention are no distributions");
        CHECK_FALSE(images.contains("rollout"));
      } else {
        CHECK_FALSE(images.contains("no_rollout"));
        REQUIRE(images.at("rollout").size() == 5);
        CHECK(images.at("rollout")[4].size() == 16);
      }
    }
  CHECK(seen.size() == zoo().size());
}

TEST_CASE("images: of a model without a grid of tokens a report says that there are no maps; large images are shown small") {
  const TemporaryFolder folder;
  const fs::path experiment = folder.write(
      "resnet.toml",
      "[task]\nname = 'image'\n[data]\nkind = 'synthetic-shapes'\nsize = 200\ntrain_images = 5\nvalid_images = 5\n"
      "test_images = 5\nresize = 8\n[model]\nname = 'resnet'\ndepth = 8\nwidth = 2\n[train]\nsteps = 1\nbatch = 2\n");
  const fs::path run = folder.path() / "run";
  REQUIRE(tapir("train " + in_quotes(experiment) + " --out " + in_quotes(run)).status == 0);
  const nlohmann::json images = reported(in_quotes(run)).at("groups")[0].at("runs")[0].at("images");
  CHECK(images.at("layers").empty());
  CHECK(images.at("no_rollout") == "no layer has weights over one grid of tokens");
  CHECK(images.at("images")[0].at("height") == 192);
  CHECK(images.at("images")[0].at("pixels").size() == 192 * 192 * 3);
}

TEST_CASE("images: of weights whose logits overflow nothing is shown or predicted, and the report says why") {
  const fs::path run = trained().folder.path() / "overflow", page = trained().folder.path() / "overflow.html";
  fs::copy(trained().run, run, fs::copy_options::recursive);
  for (const auto& item : fs::directory_iterator(run / "checkpoints"))
    if (item.path().extension() == ".safetensors") {
      plant(item.path(), "/norm.bias", 100);   // behind the blocks, so that attention stays finite
      plant(item.path(), "/head.weight", 3e38);
    }
  CHECK(contains_text(refusal("predict " + in_quotes(run) + ' ' + in_quotes(png())), "predict: the probabilities"));
  const Outcome report = tapir("report " + in_quotes(run) + " --out " + in_quotes(page));
  CHECK(report.status == 1);
  CHECK(contains_text(report.err, "no images: report: the probabilities"));
  CHECK(contains_text(contents(page), "the probabilities"));
}

}  // namespace tapir
