#include "attention/reproduce/tasks/picture.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <span>

#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"
#include "datasets/draws.h"
#include "datasets/image/decode.h"
#include "datasets/image/images.h"
#include "datasets/image/resize.h"
#include "datasets/synthetic/scene.h"
#include "datasets/text/text_file.h"
#include "nn/train/finite.h"
#include "tensor/sha256.h"

namespace tapir {
namespace {

double place(int64_t half_pixels, int64_t size) {
  return static_cast<double>(half_pixels) / static_cast<double>(size - 1) - 1;
}

std::vector<uint8_t> mosaic_of_cifar(const std::filesystem::path& path, int64_t side) {
  const int64_t across = (side + 31) / 32;
  return mosaic(read_images({.kind = "cifar-10", .path = path, .limits = {.train = across * across}}).train, side);
}

std::vector<double> colours_of(const PictureDataOptions& data) {
  const int64_t side = 2 * data.size - 1;
  std::vector<double> colours;
  if (data.kind == "scene") {
    require(data.path.empty(), "data.path", [] { return "the kind \"scene\" has no path"; });
    for (int64_t y = 0; y < side; ++y)
      for (int64_t x = 0; x < side; ++x) {
        const auto colour = scene_at(place(x, data.size), place(y, data.size));
        colours.insert(colours.end(), colour.begin(), colour.end());
      }
    return colours;
  }
  require(data.kind != "file" || !data.path.empty(), "data.path",
          [] { return "the kind \"file\" needs the path of a PNG or JPEG file"; });
  const std::vector<uint8_t> bytes = data.kind == "file"
                                         ? fit_square(decode_image(read_file(data.path), data.path.string()), side)
                                         : mosaic_of_cifar(data.path, side);
  for (const uint8_t byte : bytes) colours.push_back(byte / 127.5 - 1);
  return colours;
}

std::vector<double> mean_of(const PictureTask::Points& points) {
  std::vector<double> mean(3);
  for (size_t i = 0; i < points.colours.size(); ++i)
    mean[i % 3] += 3 * points.colours[i] / static_cast<double>(points.colours.size());
  return mean;
}

std::vector<uint8_t> bytes_of(const std::vector<double>& colours) {
  std::vector<uint8_t> bytes;
  for (const double value : colours)
    bytes.push_back(static_cast<uint8_t>(std::lround(127.5 * (std::clamp(value, -1.0, 1.0) + 1))));
  return bytes;
}

}  // namespace

std::vector<uint8_t> mosaic(const Images& images, int64_t side) {
  const int64_t across = (side + images.width - 1) / images.width, down = (side + images.height - 1) / images.height;
  require(images.size() >= across * down, "data.size", [&] {
    return text("a mosaic of ", side, " x ", side, " pixels needs ", across * down, " images, and there are ", images.size());
  });
  std::vector<uint8_t> pixels;
  for (int64_t y = 0; y < side; ++y)
    for (int64_t x = 0; x < side; ++x) {
      const auto image = images.image(y / images.height * across + x / images.width);
      const auto pixel = image.subspan(3 * (y % images.height * images.width + x % images.width), 3);
      pixels.insert(pixels.end(), pixel.begin(), pixel.end());
    }
  return pixels;
}

void PictureDataOptions::fields(nn::FieldVisitor& visit) {
  std::string file = path.string();
  visit("kind", kind, "the picture: a scene that is a formula, the middle square of a file, or a mosaic of training images",
        {"scene", "file", "cifar-10"});
  visit("path", file, "of the kind \"file\": a PNG or JPEG file; of CIFAR-10: as of the task image", {});
  visit("size", size, "n, pixels along each side; of 2 n − 1 points of the picture every second is a pixel",
        nn::between(2, 1024));
  path = file;
}

PictureTask::PictureTask(Experiment& experiment) : Task(experiment), colours_(colours_of(data())) {
  const int64_t pixels = data().size * data().size;
  require(experiment.train.batch <= pixels, "train.batch",
          [&] { return text("a batch of ", experiment.train.batch, " is more than the ", pixels, " pixels of the picture"); },
          text("train.batch=", pixels, " takes all of them"));
  make_model({.takes = Takes::coordinates,
              .gives = Gives::values,
              .inputs = 2,
              .outputs = 3,
              .mean = mean_of(of_part("valid"))});
}

const PictureDataOptions& PictureTask::data() const {
  return dynamic_cast<const PictureDataOptions&>(*experiment_.task.data);
}

void PictureTask::add_point(Points& points, int64_t row, int64_t column) const {
  const int64_t size = data().size;
  const auto colour = colours_.begin() + 3 * (row * (2 * size - 1) + column);
  points.coordinates.insert(points.coordinates.end(), {place(column, size), place(row, size)});
  points.colours.insert(points.colours.end(), colour, colour + 3);
}

// Rows [part rows, (part + 1) rows) of the batch of a step, each pixel a function of seed, step and place in the batch.
PictureTask::Points PictureTask::of_step(int64_t step, int64_t part, int64_t parts) const {
  const int64_t rows = experiment_.train.batch / parts, size = data().size;
  const RandomKey key{.seed = static_cast<uint64_t>(experiment_.run.seed),
                      .step = static_cast<uint32_t>(step),
                      .site = site_of("pixels")};
  Points points;
  for (int64_t i = part * rows; i < (part + 1) * rows; ++i) {
    const int64_t pixel = whole() ? i : Draws(key, static_cast<uint64_t>(i)).below(size * size);
    add_point(points, 2 * (pixel / size), 2 * (pixel % size));
  }
  return points;
}

PictureTask::Points PictureTask::of_part(const std::string& part) const {
  Points points;
  const int64_t begin = part == "test" ? 1 : 0, end = 2 * data().size - 1;
  for (int64_t row = begin; row < end; row += 2)
    for (int64_t column = begin; column < end; column += 2) add_point(points, row, column);
  return points;
}

Tensor PictureTask::tensor_of(std::span<const double> numbers, int64_t columns) const {
  const auto rows = static_cast<int64_t>(numbers.size()) / columns;
  return Tensor::from(numbers, {rows, columns}, Device::cpu).to(experiment_.dtype()).to(experiment_.device());
}

PictureTask::Judged PictureTask::judge(const Points& points, const nn::Call& call) const {
  const NoGrad guard;
  Judged judged;
  const std::span<const double> all = points.coordinates;
  const auto most = static_cast<size_t>(2 * experiment_.train.batch);   // numbers at a time
  for (size_t begin = 0; begin < all.size(); begin += most) {
    const std::span<const double> some = all.subspan(begin, std::min(most, all.size() - begin));
    const std::vector<double> fit = forward({{"coordinates", tensor_of(some, 2)}}, call).to(DType::f64).values<double>();
    judged.fit.insert(judged.fit.end(), fit.begin(), fit.end());
  }
  double clamped = 0;
  for (size_t i = 0; i < judged.fit.size(); ++i) {
    const double share = 1 / static_cast<double>(judged.fit.size());
    judged.error += share * std::pow(judged.fit[i] - points.colours[i], 2);
    clamped += share * std::pow(std::clamp(judged.fit[i], -1.0, 1.0) - points.colours[i], 2);
  }
  require_finite("evaluate", "the mean squared error", judged.error);
  judged.psnr = 10 * std::log10(4 / std::max(clamped, 4e-20));
  return judged;
}

TrainTask PictureTask::train_task() {
  TrainTask task{model(), {}, {}, experiment_.identity(), {"validation_psnr", true}};
  task.unit = unit();
  task.loss = [this](int64_t step, int64_t part, int64_t parts, const nn::Call& call) {
    const Points own = of_step(step, part, parts);
    const Tensor fit = forward({{"coordinates", tensor_of(own.coordinates, 2)}}, call);
    const auto values = static_cast<int64_t>(own.colours.size());
    return LossSum{sum(square(sub(fit, tensor_of(own.colours, 3)))), values, values * parts};
  };
  task.evaluate = [this](const nn::Call& call) {
    const Judged all = judge(of_part("valid"), call);
    return Metrics{{"validation_loss", all.error}, {"validation_psnr", all.psnr}};
  };
  return task;
}

Task::Evaluation PictureTask::evaluate_part(const std::string& part) {
  const Points points = of_part(part);
  const Judged all = judge(points, {});
  return {{{"points", fmt::format("{}", points.colours.size() / 3)},
           {"mse", fmt::format("{:.3e}", all.error)},
           {"psnr", fmt::format("{:.2f}", all.psnr)}}};
}

Task::Results PictureTask::comparable(const std::string& part) const {
  std::string picture = data().kind;
  for (const auto& digest : digests({part})) picture += " sha256 " + digest.second.substr(0, 12);
  return {{"picture", picture}, {"size", fmt::format("{}", data().size)}};
}

Task::Digests PictureTask::digests(const std::vector<std::string>& parts) const {
  Digests digests;
  if (data().kind == "scene") return digests;
  const std::string whole = sha256_hex(std::as_bytes(std::span(colours_)));
  for (const std::string& part : parts) digests.emplace_back(part, whole);
  return digests;
}

std::vector<Task::ShownImage> PictureTask::show_images(int64_t, const nn::Call& call) {
  const Points pixels = of_part("valid");
  const Judged all = judge(pixels, call);
  std::vector<double> errors;
  for (size_t i = 0; i < all.fit.size(); ++i) errors.push_back(std::abs(all.fit[i] - pixels.colours[i]));
  const double most = *std::max_element(errors.begin(), errors.end());
  for (double& error : errors) error = most > 0 ? 2 * error / most - 1 : -1;   // of black
  const auto image = [&](const std::vector<double>& colours, const std::string& label) {
    const int64_t size = data().size;
    return ShownImage{.height = size, .width = size, .pixels = bytes_of(colours), .label = label, .likeliest = {}};
  };
  return {image(pixels.colours, "picture"), image(all.fit, fmt::format("fit, {:.2f} dB", all.psnr)),
          image(errors, fmt::format("error of each colour, from 0 to {:.3f}", most))};
}

std::pair<Batch, int64_t> PictureTask::sample() const {
  return {{{"coordinates", Tensor::zeros({1, 2}, experiment_.dtype(), experiment_.device())}}, 1};
}

std::string PictureTask::summary() const {
  return fmt::format("a picture of {0} × {0} pixels ({1})", data().size, data().kind);
}

TaskRow picture_row() {
  return {.name = "picture",
          .title = "a picture as a function of the place",
          .options = [] { return std::make_unique<nn::Options>(); },
          .data = [] { return std::make_unique<PictureDataOptions>(); },
          .own_data = [](const auto&, const auto&) { return std::vector<std::string>{"data.kind=file"}; },
          .make = [](Experiment& experiment, const std::filesystem::path&) -> std::unique_ptr<Task> {
            return std::make_unique<PictureTask>(experiment);
          }};
}

}  // namespace tapir
