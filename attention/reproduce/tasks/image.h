// Classification of images.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attention/reproduce/tasks/task.h"
#include "attention/reproduce/tasks/task_row.h"
#include "datasets/image/batches.h"
#include "datasets/image/decode.h"
#include "datasets/image/images.h"
#include "datasets/image/loader.h"

namespace tapir {

struct ImageTaskOptions : nn::Options {   // [task]
  double label_smoothing = 0;

  void fields(nn::FieldVisitor& visit) override {
    visit("label_smoothing", label_smoothing, "ε: targets are (1 − ε) of the label and ε of all classes alike",
          nn::between(0, 1));
  }
};

struct ImageDataOptions : nn::Options {   // [data]
  ImageSpec spec;
  int64_t resize = 0;
  AugmentOptions augment;

  void fields(nn::FieldVisitor& visit) override;
};

// Steps train on augmented images of the training part in an order that the seed decides; loss: cross-entropy. Judged by the
// share of images whose likeliest class is the label.
class ImageTask final : public Task {
 public:
  // Without weights. `description`: of the images that a trained model learned from; then none are read before something asks
  // for them.
  explicit ImageTask(Experiment& experiment, std::optional<ImageDescription> description = {});

  TrainTask train_task() override;
  Evaluation evaluate_part(const std::string& part) override;
  Results comparable(const std::string& part) const override;
  std::string all(const std::string& part) const override;
  std::string drawn() const override;
  std::pair<Batch, int64_t> sample() const override;
  std::string unit() const override { return "image"; }
  std::string summary() const override;
  void save(const std::filesystem::path& folder) const override;
  Digests digests(const std::vector<std::string>& parts) const override;
  std::vector<ShownImage> show_images(int64_t most, const nn::Call& call) override;

  const ImageDescription& description() const { return description_; }
  const ImageBatches& training() const;

  // Probabilities of the classes of an image, brought to the size of those that were learned (fit_square). Throws Error where those
  // were no squares, and NotFinite.
  std::vector<double> predict(const DecodedImage& image) const;

  // Probabilities of the classes, image by image: (rows, classes) of logits that the model gives.
  struct Judged {
    std::vector<std::vector<double>> probabilities;
    std::vector<int32_t> labels;
    double loss = 0;   // mean, nats per image

    int64_t right(int64_t among) const;   // images whose label is among so many of the likeliest classes
    double calibration_error(int64_t bins = 15) const;   // Guo et al. 2017, eq. 3: Σ_b n_b/n |accuracy_b − confidence_b|
    Confusion confusion(const std::vector<std::string>& classes) const;   // each image is taken for its likeliest class
  };
  Judged judge(const std::string& part);   // throws NotFinite where the loss is

 private:
  const ImageDataOptions& data() const;
  const ImageSet& set() const;
  const Images& images(const std::string& part) const;
  nn::ImageShape shape() const;   // of what the model gets
  Tensor pixels(const ImageBatch& batch, int64_t begin, int64_t rows) const;
  Tensor logits(const ImageBatch& batch, const nn::Call& call = {}) const;
  ImageBatch first_images(int64_t rows) const;   // of the validation part

  const ImageTaskOptions& options_;
  mutable std::optional<ImageSet> set_;   // once something has asked for it
  ImageDescription description_;
  mutable std::optional<ImageBatches> training_;
  std::optional<ImageLoader> loader_;     // of training_, which outlives it
};

TaskRow image_row();

inline constexpr const char* images_file = "images.json";   // in a run folder

}  // namespace tapir
