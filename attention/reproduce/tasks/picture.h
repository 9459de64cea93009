// One picture as a function of the place: what implicit representations learn.
#pragma once
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "attention/reproduce/tasks/task.h"
#include "attention/reproduce/tasks/task_row.h"
#include "datasets/image/images.h"

namespace tapir {

struct PictureDataOptions : nn::Options {   // [data]
  std::string kind = "scene";
  std::filesystem::path path;
  int64_t size = 64;

  void fields(nn::FieldVisitor& visit) override;
};

// Colours in [−1, 1] over the square [−1, 1]², x to the right and y downwards. The pixels are a grid of n × n points, four of
// them in the corners; the midpoints lie in the middle of four pixels. Steps train on pixels that the seed draws, or on all
// where the batch has as many as there are. Loss: mean squared error. The part "valid" is the pixels, "test" the midpoints.
class PictureTask final : public Task {
 public:
  explicit PictureTask(Experiment& experiment);   // without weights

  TrainTask train_task() override;
  Evaluation evaluate_part(const std::string& part) override;
  Results comparable(const std::string& part) const override;
  std::string drawn() const override { return whole() ? "" : "pixels"; }
  std::pair<Batch, int64_t> sample() const override;
  std::string unit() const override { return "pixel"; }
  std::string summary() const override;
  Digests digests(const std::vector<std::string>& parts) const override;
  std::vector<ShownImage> show_images(int64_t most, const nn::Call& call) override;   // the pixels, their fit, the error

  struct Points {
    std::vector<double> coordinates, colours;   // (m,2), (m,3), row by row
  };
  Points of_step(int64_t step, int64_t part, int64_t parts) const;
  Points of_part(const std::string& part) const;

  struct Judged {
    std::vector<double> fit;   // (m,3)
    double error = 0;          // mean squared
    double psnr = 0;           // of colours that are clamped to [−1, 1]: 10 log₁₀(2² / error), at most 200 dB
  };
  Judged judge(const Points& points, const nn::Call& call) const;   // throws NotFinite where the error is

 private:
  const PictureDataOptions& data() const;
  bool whole() const { return experiment_.train.batch == data().size * data().size; }
  void add_point(Points& points, int64_t row, int64_t column) const;   // in half pixels
  Tensor tensor_of(std::span<const double> numbers, int64_t columns) const;   // of the experiment's type, on its device

  std::vector<double> colours_;   // (2n − 1, 2n − 1, 3): pixels, and what lies between them
};

// Colour images side by side, row by row, cut to (side, side, 3). Throws Error where there are too few.
std::vector<uint8_t> mosaic(const Images& images, int64_t side);

TaskRow picture_row();

}  // namespace tapir
