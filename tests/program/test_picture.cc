// The task of one picture: where its points are and what they have, how well it is fitted, what is refused, and its runs.
#include "attention/reproduce/tasks/picture.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "attention/reproduce/program/experiment.h"
#include "autograd/backward.h"
#include "datasets/image/decode.h"
#include "datasets/image/resize.h"
#include "datasets/synthetic/scene.h"
#include "datasets/text/text_file.h"
#include "nn/optim/optimiser.h"
#include "tests/messages.h"
#include "tests/program/program_helpers.h"

namespace tapir {
namespace {

using namespace testing;
namespace fs = std::filesystem;
using Values = std::vector<double>;

const fs::path png = fs::path(TAPIR_SOURCE_DIR) / "tests" / "golden" / "images" / "rgb.png";

const std::string small =
    "[task]\nname = 'picture'\n[data]\nsize = 16\n[model]\nname = 'implicit'\nwidth = 32\nlayers = 2\nfirst_omega = 15.0\n"
    "shift = 'mean'\n[train]\nsteps = 8\nbatch = 256\naccumulate = 2\nlog_every = 1\nevaluate_every = 4\nsave_every = 3\n"
    "[schedule]\nrate = 3e-3\n[optimiser]\ndecay = 0.0\n[run]\ndtype = 'f64'\n";

struct Made {
  explicit Made(const std::vector<std::string>& changes = {}) {
    const TemporaryFolder folder;
    experiment = read_experiment(folder.write("picture.toml", small), changes);
    task = make_task(experiment);
  }
  const PictureTask& picture() const { return dynamic_cast<const PictureTask&>(*task); }

  Experiment experiment;
  std::unique_ptr<Task> task;
};

std::string refused(const std::vector<std::string>& changes) {
  return message_of([&] { const Made made(changes); });
}

}  // namespace

TEST_CASE("picture: the scene by hand") {
  const auto is = [](double x, double y, double red, double green, double blue) {
    const auto colour = scene_at(x, y);
    CHECK(colour[0] == doctest::Approx(red).epsilon(1e-14));
    CHECK(colour[1] == doctest::Approx(green).epsilon(1e-14));
    CHECK(colour[2] == doctest::Approx(blue).epsilon(1e-14));
  };
  is(-1, -1, -0.2 + 0.25, -0.2 + 0.25, 0.2 + 0.25);   // the corner: the slope, and the middle of the rings
  const double rings = 0.25 * std::cos(12.0);
  is(0, -1, rings, -0.2 + rings, 0.1 + rings);
  const double inside = 0.25 * std::cos(12 * (0.25 + 0.36));   // the middle of the first disc
  is(-0.5, -0.4, -0.1 + inside + 0.3, -0.08 + inside - 0.2, 0.09 + inside - 0.3);
  const double on = 0.25 * std::cos(12 * (1.25 * 1.25 + 1.4 * 1.4));   // on the upper stroke of the Z
  is(0.25, 0.4, 0.05 + on + 0.25, 0.08 + on + 0.25, -0.065 + on + 0.25);
  for (const double below : {0.4 - 0.031, 0.4 - 0.029}) {   // a sharp edge, half a width of 0.03 away
    const auto colour = scene_at(0.25, below);
    const double without = 0.2 * below + 0.25 * std::cos(12 * (1.25 * 1.25 + (below + 1) * (below + 1)));
    CHECK((colour[1] - without > 0.2) == (below > 0.4 - 0.03));
  }
  for (int row = 0; row <= 200; ++row)
    for (int column = 0; column <= 200; ++column)
      for (const double value : scene_at(column / 100.0 - 1, row / 100.0 - 1)) CHECK(std::fabs(value) <= 1);
}

TEST_CASE("picture: four pixels lie in the corners, midpoints in the middle of four, and both have the scene's colours") {
  const Made made;
  const auto check = [&](const PictureTask::Points& points, int64_t side, double begin) {
    REQUIRE(points.coordinates.size() == static_cast<size_t>(2 * side * side));
    for (int64_t i = 0; i < side * side; ++i) {
      const double x = begin + 2.0 * static_cast<double>(i % side) / 15, y = begin + 2.0 * static_cast<double>(i / side) / 15;
      CHECK(points.coordinates[2 * i] == doctest::Approx(x).epsilon(1e-14));
      CHECK(points.coordinates[2 * i + 1] == doctest::Approx(y).epsilon(1e-14));
      const auto colour = scene_at(points.coordinates[2 * i], points.coordinates[2 * i + 1]);
      for (size_t c = 0; c < 3; ++c) CHECK(points.colours[3 * i + c] == colour[c]);
    }
  };
  check(made.picture().of_part("valid"), 16, -1);
  check(made.picture().of_part("test"), 15, -1 + 1 / 15.0);
}

TEST_CASE("picture: a batch of all pixels has each once; a smaller one those that seed and step draw") {
  const Made all;
  CHECK(all.picture().of_step(5, 0, 1).colours == all.picture().of_part("valid").colours);
  CHECK(all.task->seed_decides() == "initial weights");
  const Made some({"train.batch=100"}), other({"train.batch=100", "run.seed=2"});
  CHECK(some.task->seed_decides() == "initial weights, pixels");
  const auto places = [](const Made& made, int64_t step) { return made.picture().of_step(step, 0, 1).coordinates; };
  CHECK(places(some, 3) == places(some, 3));
  CHECK(places(some, 3) != places(some, 4));
  CHECK(places(some, 3) != places(other, 3));
  Values halves = some.picture().of_step(3, 0, 2).coordinates;
  const Values second = some.picture().of_step(3, 1, 2).coordinates;
  halves.insert(halves.end(), second.begin(), second.end());
  CHECK(halves == places(some, 3));
  Values mean(2);   // evenly over the square: in 4 of their deviations
  const Values drawn = Made({"train.batch=256", "data.size=17"}).picture().of_step(0, 0, 1).coordinates;
  for (size_t i = 0; i < drawn.size(); ++i) mean[i % 2] += drawn[i] / 256;
  for (const double one : mean) CHECK(std::fabs(one) < 4 * 0.62 / 16);
}

TEST_CASE("picture: the peak signal to noise ratio is that of clamped colours, by hand; an exact fit has 200 dB") {
  Made made;
  made.task->model().each_parameter([](const std::string& name, nn::Parameter& parameter) {
    const bool last = name == "layers.2.bias";   // y = b + μ everywhere
    parameter.value = requires_grad(last ? Tensor::from(Values{3, 0, 0}, {3}, Device::cpu)
                                         : Tensor::zeros(parameter.shape, DType::f64, Device::cpu));
  });
  Values mean(3);
  const PictureTask::Points pixels = made.picture().of_part("valid");
  for (size_t i = 0; i < pixels.colours.size(); ++i) mean[i % 3] += pixels.colours[i] / 256;
  double error = 0, clamped = 0;
  for (size_t i = 0; i < pixels.colours.size(); ++i) {
    const double fit = mean[i % 3] + (i % 3 == 0 ? 3 : 0);
    error += std::pow(fit - pixels.colours[i], 2) / 768;
    clamped += std::pow((i % 3 == 0 ? 1 : fit) - pixels.colours[i], 2) / 768;
  }
  const Metrics metrics = made.task->train_task().evaluate({});
  REQUIRE(metrics.size() == 2);
  CHECK(metrics[0].second == doctest::Approx(error).epsilon(1e-12));
  CHECK(metrics[1].first == "validation_psnr");
  CHECK(metrics[1].second == doctest::Approx(10 * std::log10(4 / clamped)).epsilon(1e-12));

  PictureTask::Points own = pixels;
  own.colours = made.picture().judge(pixels, {}).fit;
  for (double& colour : own.colours) colour = std::min(colour, 1.0);
  CHECK(made.picture().judge(own, {}).psnr == doctest::Approx(200));
}

TEST_CASE("picture: every second of a file's points is a pixel; images lie in a mosaic row by row") {
  const DecodedImage image = decode_image(read_file(png), png.string());
  const int64_t side = std::min(image.height, image.width);
  REQUIRE(side >= 5);
  const int64_t size = (side + 1) / 2, read = 2 * size - 1;
  const Made file({"data.kind=file", text("data.path=\"", png.string(), '"'), text("data.size=", size), "train.batch=4"});
  const PictureTask::Points pixels = file.picture().of_part("valid"), between = file.picture().of_part("test");
  const std::vector<uint8_t> bytes = fit_square(image, read);
  CHECK(pixels.colours[0] == bytes[0] / 127.5 - 1);
  CHECK(pixels.colours[3 * (size + 1) + 2] == bytes[3 * (2 * read + 2) + 2] / 127.5 - 1);   // row 1, column 1, blue
  CHECK(between.colours[1] == bytes[3 * (read + 1) + 1] / 127.5 - 1);
  CHECK(file.task->digests({"valid", "test"}).size() == 2);
  CHECK(Made().task->digests({"valid"}).empty());

  Images images{.height = 2, .width = 3, .channels = 3, .pixels = {}, .labels = {0, 0, 0, 0, 0, 0}, .coarse_labels = {}};
  for (uint8_t value = 0; value < 6 * 18; ++value) images.pixels.push_back(value);
  const std::vector<uint8_t> tiles = mosaic(images, 5);   // of 2 images across, 3 down
  for (size_t y = 0; y < 5; ++y)
    for (size_t x = 0; x < 5; ++x)
      for (size_t c = 0; c < 3; ++c)
        CHECK(tiles[(y * 5 + x) * 3 + c] == (y / 2 * 2 + x / 3) * 18 + (y % 2 * 3 + x % 3) * 3 + c);
  CHECK(message_of([&] { mosaic(images, 7); }) == "data.size: a mosaic of 7 x 7 pixels needs 12 images, and there are 6");
}

TEST_CASE("picture: what cannot be is refused when the task is made") {
  CHECK(refused({"train.batch=258"}) ==
        "train.batch: a batch of 258 is more than the 256 pixels of the picture; hint: train.batch=256 takes all of them");
  CHECK(refused({"data.path=x.png"}) == "data.path: the kind \"scene\" has no path");
  CHECK(refused({"data.kind=file"}) == "data.path: the kind \"file\" needs the path of a PNG or JPEG file");
  CHECK(contains_text(refused({"data.kind=file", "data.path=\"nowhere.png\""}), "nowhere.png"));
  CHECK(contains_text(refused({"data.kind=cifar-10", "data.path=\"nowhere\""}), "nowhere"));
  const TemporaryFolder folder;
  const fs::path file =
      folder.write("function.toml", "[task]\nname = 'function'\n[model]\nname = 'implicit'\nshift = 'mean'\n");
  CHECK(contains_text(message_of([&] {
                        Experiment experiment = read_experiment(file, {});
                        make_task(experiment);
                      }),
                      "implicit: shift = 'mean' needs the mean of 1 outputs, and knows 0"));
}

TEST_CASE("picture: it is learned, by every activation") {
  for (const char* activation : {"sine", "finer", "relu"}) {
    CAPTURE(activation);
    std::vector<std::string> changes{text("model.activation=", activation)};
    if (*activation == 'r') changes.insert(changes.end(), {"model.encoding=positional", "model.frequencies=4", "model.first_omega=30"});
    Made made(changes);
    TrainTask loop = made.task->train_task();
    const double first = loop.evaluate({})[1].second;
    nn::AdamWOptions options;
    options.decay = 0;
    nn::AdamW optimiser(made.task->model(), options);
    for (int64_t step = 0; step < 150; ++step) {
      const StepLoss loss = accumulate_gradients(loop, optimiser, step, 1, 1);
      apply_gradients(optimiser, 3e-3, 0, loss.count);
    }
    CHECK(loop.evaluate({})[1].second > first + 7);   // a fifth of the squared error
  }
}

TEST_CASE("picture: a run that is cut ends with the bits of one that is not; eval has both parts, a report the pictures") {
  const TemporaryFolder folder;
  for (const char* batch : {"256", "100"}) {   // all pixels, and drawn ones
    const fs::path experiment = folder.write("picture.toml", small), whole = folder.path() / batch;
    const std::string train = "train " + in_quotes(experiment) + " --set train.ema=0.9 --set train.batch=" + batch + " --out ";
    const Outcome outcome = tapir(train + in_quotes(whole));
    REQUIRE_MESSAGE(outcome.status == 0, outcome.err);
    for (const char* cut : {"1", "5"}) {
      const fs::path run = folder.path() / (std::string(batch) + "-" + cut);
      REQUIRE(tapir(train + in_quotes(run) + " --stop-after " + cut).status == 0);
      CHECK(digest_in(tapir("train --resume " + in_quotes(run)).out) == digest_in(outcome.out));
      CHECK(contents(run / "metrics.jsonl") == contents(whole / "metrics.jsonl"));
    }
  }
  const fs::path run = folder.path() / "256", page = folder.path() / "report.html";
  for (const char* part : {"valid", "test"}) {
    const Outcome found = tapir("eval " + in_quotes(run) + " --json --part " + part);
    REQUIRE_MESSAGE(found.status == 0, found.err);
    const nlohmann::json results = nlohmann::json::parse(found.out).at("runs")[0].at("results");
    CHECK(results.at("points") == (*part == 'v' ? 256 : 225));
    CHECK(results.contains("psnr"));
  }
  REQUIRE(tapir("report " + in_quotes(run) + " --out " + in_quotes(page)).status == 0);
  for (const char* label : {"\"label\":\"picture\"", "\"fit, ", "\"error of each colour, from 0 to "})
    CHECK(contains_text(contents(page), label));
  CHECK(contains_text(refusal("eval --classes " + in_quotes(run)), "the task 'picture' has no classes"));
}

TEST_CASE("picture: `tapir zoo` says that implicit representations are among the models") {
  CHECK(contains_text(tapir("zoo").out, "\nWithout attention, among the models (`tapir config model`): mlp, "));
  CHECK(contains_text(tapir("zoo").out, "; implicit, implicit representation of a signal by its coordinates"));
  CHECK(!contains_text(tapir("zoo dot_product").out, "implicit"));
}

}  // namespace tapir
