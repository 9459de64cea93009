#include "attention/cache.h"

#include <algorithm>
#include <bit>

#include "autograd/node.h"
#include "autograd/ops/shape.h"
#include "tensor/elementwise.h"
#include "tensor/view.h"

namespace tapir {
namespace {

// Twice the memory each time, so that a token costs a constant number of copies.
void reserve(Tensor& kept, int64_t tokens) {
  if (tokens <= kept.size(2)) return;
  const auto capacity = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(tokens)));
  const Tensor larger = Tensor::zeros(kept.shape().with(2, capacity), kept.dtype(), kept.device());
  Tensor first = view::slice(larger, 2, 0, kept.size(2));
  copy_(first, kept);
  kept = larger;
}

}  // namespace

Tensor Cache::append(const std::string& name, const Tensor& rows, int64_t begin) {
  const NoGrad guard;
  const int64_t end = begin + rows.size(2);
  const auto found = kept_.find(name);
  require(begin == 0 || (found != kept_.end() && begin <= found->second.size(2)), "cache",
          [&] { return text("has no '", name, "' of the tokens before ", begin); });
  Tensor& kept = found != kept_.end()
                     ? found->second
                     : kept_.emplace(name, Tensor::zeros(rows.shape(), rows.dtype(), rows.device())).first->second;
  reserve(kept, end);
  Tensor place = view::slice(kept, 2, begin, rows.size(2));
  copy_(place, rows.detach());
  return view::slice(kept, 2, 0, end);
}

Cache Cache::sample(int64_t b, int64_t tokens) {
  Cache one;
  for (auto& [name, kept] : kept_) {
    reserve(kept, tokens);
    one.kept_.emplace(name, view::slice(kept, 0, b, 1));
  }
  return one;
}

std::unique_ptr<nn::MixerState> Cache::copy() const {
  auto other = std::make_unique<Cache>();
  for (const auto& [name, kept] : kept_) other->kept_.emplace(name, kept.copy());
  return other;
}

void Cache::reorder(const std::vector<int64_t>& rows) {
  const NoGrad guard;
  for (auto& [name, kept] : kept_) {
    std::vector<Tensor> samples;
    for (const int64_t row : rows) samples.push_back(view::slice(kept, 0, row, 1));
    kept = concat(samples, 0);
  }
}

}  // namespace tapir
