// Load monitoring: which appliances of a home are on, from the power that all of them draw (Hart 1992; Rahman & Arafat 2024),
// on windows that are drawn (datasets/synthetic/appliances.h).
#pragma once
#include <string>
#include <vector>

#include "attention/reproduce/tasks/epoch_order.h"
#include "attention/reproduce/tasks/task.h"
#include "attention/reproduce/tasks/task_row.h"
#include "datasets/synthetic/appliances.h"

namespace tapir {

struct AppliancesOptions : nn::Options {   // [task]
  int64_t samples = 480;
  int64_t windows = 512;
  int64_t evaluated = 200;
  double noise = 0.05;

  void fields(nn::FieldVisitor& visit) override {
    visit("samples", samples, "T, of a window, one in 6 s", nn::between(1, 1 << 16));
    visit("windows", windows, "that are learned from", nn::between(1, 1 << 20));
    visit("evaluated", evaluated, "windows of an evaluation", nn::between(1, 1 << 20));
    visit("noise", noise, "deviation of a normal error of the power, kW", nn::between(0, 1e6));
  }
};

// What was said of each appliance's samples, on or off, against what was so.
struct OnOff {
  int64_t hits = 0, false_alarms = 0, misses = 0, samples = 0;

  double f1() const;         // 2 hits / (2 hits + false alarms + misses); 1 where there is none of them
  double accuracy() const;   // share of samples that are neither false alarm nor miss
};

// Training windows are a function of the seed, which decides their order too; those of an evaluation are the same for every
// seed. With logits z and states s of T samples and K appliances:
//   loss = mean over windows, samples and appliances of log(1 + e^z) − s z
// Judged by the mean over appliances of F1, where z > 0 says "on".
class AppliancesTask final : public Task {
 public:
  explicit AppliancesTask(Experiment& experiment);   // without weights. Throws Error for fewer windows than a batch has

  TrainTask train_task() override;
  Evaluation evaluate_part(const std::string& part) override;
  Results comparable(const std::string& part) const override;
  std::string drawn() const override { return "windows and their order"; }
  std::pair<Batch, int64_t> sample() const override;
  std::string unit() const override { return "window"; }
  std::string summary() const override;

  struct Judged {
    double loss = 0;
    std::vector<OnOff> appliances;

    double f1() const;         // means over appliances
    double accuracy() const;
  };
  Judged judge(const std::string& part) const;

 private:
  PowerWindows windows(const std::string& part, const std::vector<int64_t>& indices) const;
  Tensor logits(const PowerWindows& windows, const nn::Call& call) const;               // (windows,T,K)
  Tensor loss(const Tensor& logits, const PowerWindows& windows) const;                 // summed over windows
  Tensor placed(const std::vector<double>& values, int64_t channels) const;             // (windows,T,channels)

  const AppliancesOptions& options_;
  const EpochOrder order_;
};

TaskRow appliances_row();

}  // namespace tapir
