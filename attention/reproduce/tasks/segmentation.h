// Segmentation: the class of each pixel, in drawn images whose regions differ in the frequency of their texture.
#pragma once
#include <string>
#include <vector>

#include "attention/reproduce/tasks/task.h"
#include "attention/reproduce/tasks/task_row.h"
#include "datasets/synthetic/regions.h"

namespace tapir {

struct SegmentationOptions : nn::Options {   // [task]
  RegionSpec regions;
  int64_t evaluated = 100;
  double dice = 0.6;

  void fields(nn::FieldVisitor& visit) override {
    visit("size", regions.size, "pixels along each side of an image", nn::between(4, 512));
    visit("classes", regions.classes, "K: textures, each of a frequency of its own", nn::between(2, 64));
    visit("regions", regions.regions, "most regions of an image, each of another class; at least 2", nn::between(2, 64));
    visit("noise", regions.noise, "deviation of the noise of pixels, where that of a texture is 1", nn::between(0, 100));
    visit("evaluated", evaluated, "images of an evaluation", nn::between(1, 1 << 20));
    visit("dice", dice, "δ: share of the Dice loss beside cross entropy", nn::between(0, 1));
  }
};

// Images come from datasets/synthetic/regions.h: those of a step are drawn by the seed, none twice, those of an evaluation are the same
// for every seed. With p the probabilities of N pixels, g 1 where the label is k and else 0, k over the n classes of the image:
//   loss = mean over images of  (1 − δ)/N Σ −log p_label + δ (1 − 1/n Σ_k 2 Σ p_k g_k/(Σ p_k² + Σ g_k))
// The authors' Dice term sums over a batch, and over classes that are not there too. Judged by counts over all pixels of a part.
class SegmentationTask final : public Task {
 public:
  explicit SegmentationTask(Experiment& experiment);   // without weights. Throws Error for more regions than classes

  TrainTask train_task() override;
  Evaluation evaluate_part(const std::string& part) override;
  Results comparable(const std::string& part) const override;
  std::string drawn() const override { return "images"; }
  std::pair<Batch, int64_t> sample() const override;
  std::string unit() const override { return "image"; }
  std::string summary() const override;
  std::vector<ShownImage> show_images(int64_t most, const nn::Call& call) override;   // an image, its regions, those found; …

  // Of pixels.
  struct Judged {
    Confusion confusion;
    double loss = 0;   // as above, mean over images

    double accuracy() const;
    double dice() const;   // mean over classes of 2 right/(labelled + guessed); those of which there is nothing are left out
    double iou() const;    // of right/(labelled + guessed − right)
  };
  Judged judge(const std::string& part, const nn::Call& call) const;   // throws NotFinite where the loss is

 private:
  struct Images {
    Tensor pixels;                 // (B,n,n,1)
    std::vector<int32_t> labels;   // (B,n,n)
  };
  Images images(uint64_t seed, const std::string& part, int64_t first, int64_t count) const;
  Tensor logits(const Images& images, const nn::Call& call) const { return forward({{"pixels", images.pixels}}, call); }
  Tensor loss(const Tensor& logits, const Images& images) const;   // sum over images

  const SegmentationOptions& options_;
};

TaskRow segmentation_row();

}  // namespace tapir
