// What mechanisms by state remember: tensors, the first axis of which are the samples.
#pragma once
#include <utility>
#include <vector>

#include "autograd/ops/index.h"
#include "nn/token_mixer.h"

namespace tapir {

class Remembered final : public nn::MixerState {
 public:
  std::vector<Tensor> kept;   // empty: of no token

  std::unique_ptr<MixerState> copy() const override {
    auto other = std::make_unique<Remembered>();
    for (const Tensor& one : kept) other->kept.push_back(one.copy());
    return other;
  }
  void reorder(const std::vector<int64_t>& rows) override {
    const std::vector<int32_t> chosen(rows.begin(), rows.end());
    for (Tensor& one : kept)
      one = index_select(one, 0, Tensor::from(chosen, {static_cast<int64_t>(rows.size())}, one.device()));
  }
};

}  // namespace tapir
