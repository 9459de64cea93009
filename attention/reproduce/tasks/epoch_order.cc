#include "attention/reproduce/tasks/epoch_order.h"

#include "datasets/draws.h"
#include "tensor/error.h"

namespace tapir {

EpochOrder::EpochOrder(const std::string& task, const std::string& name, int64_t samples, int64_t batch, int64_t seed)
    : samples_(samples), batch_(batch), seed_(static_cast<uint64_t>(seed)), site_(site_of(name)) {
  require(samples >= batch, task, [&] { return text("a batch of ", batch, " needs as many ", name, ", found ", samples); },
          text("set task.", name, " or train.batch"));
}

std::vector<int64_t> EpochOrder::rows(int64_t step, int64_t part, int64_t parts) const {
  const int64_t batches = samples_ / batch_, number = step / batches;
  if (!epoch_ || epoch_->number != number)
    epoch_ = {number, permutation(samples_, {.seed = seed_, .step = static_cast<uint32_t>(number), .site = site_})};
  const auto begin = epoch_->order.begin() + step % batches * batch_ + part * (batch_ / parts);
  return {begin, begin + batch_ / parts};
}

}  // namespace tapir
