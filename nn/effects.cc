#include "nn/effects.h"

#include <algorithm>
#include <optional>

#include "autograd/node.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/recompute.h"
#include "nn/call.h"
#include "tensor/elementwise.h"

namespace tapir::nn {

void Effects::add_loss(AuxiliaryLoss loss) {
  require(loss.value.elements() == 1, loss.name,
          [&] { return text("an added loss must be one element, got ", loss.value.shape()); });
  for (const AuxiliaryLoss& other : losses_)
    require(
        other.name != loss.name, loss.name, [] { return "this loss was added before"; }, "give each loss of a module a name");
  losses_.push_back(std::move(loss));
}

void Effects::write(Buffer& buffer, const Tensor& value) {
  const Tensor& now = buffer.value;
  require(now.defined(), buffer.name, [] { return "the buffer has no value"; }, "initialise the model first");
  require(value.shape() == now.shape() && value.dtype() == now.dtype() && value.device() == now.device(), buffer.name, [&] {
    return text("the buffer is ", now.dtype(), now.shape(), " on ", now.device(), ", what is written ", value.dtype(),
                value.shape(), " on ", value.device());
  });
  const auto found = std::find_if(written_.begin(), written_.end(), [&](const auto& one) { return one.first == &buffer; });
  if (found != written_.end()) found->second = value.detach();
  else written_.emplace_back(&buffer, value.detach());
}

Tensor Effects::read(const Buffer& buffer) const {
  const auto found = std::find_if(written_.begin(), written_.end(), [&](const auto& one) { return one.first == &buffer; });
  return found != written_.end() ? found->second : buffer.value;
}

Tensor Effects::added_to(const Tensor& loss, double scale) const {
  Tensor sum = loss;
  for (const auto& [name, value, weight] : losses_) sum = add(sum, affine(reshape(value, loss.shape()), scale * weight, 0));
  return sum;
}

void Effects::accumulate(const Effects& pass, double share) {
  const NoGrad guard;
  const auto scaled = [&](const Tensor& value) { return affine(value.detach(), share, 0); };
  const bool first = !accumulates_;
  accumulates_ = true;
  bool same = first || (losses_.size() == pass.losses_.size() && written_.size() == pass.written_.size());
  for (size_t i = 0; same && i < pass.losses_.size(); ++i) {
    const auto& [name, value, weight] = pass.losses_[i];
    if (first) losses_.push_back({name, scaled(value), weight});
    else if ((same = losses_[i].name == name)) losses_[i].value = add(losses_[i].value, scaled(value));
  }
  for (size_t i = 0; same && i < pass.written_.size(); ++i) {
    const auto& [buffer, value] = pass.written_[i];
    if (first) written_.emplace_back(buffer, scaled(value));
    else if ((same = written_[i].first == buffer)) written_[i].second = add(written_[i].second, scaled(value));
  }
  require(same, "effects", [] { return "the parts of a batch add other losses, or write other buffers, than the first one"; });
}

void Effects::commit() const {
  for (const auto& [buffer, value] : written_) copy_(buffer->value, value);
}

Tensor recomputed(const std::function<Tensor(const Tensor& x, const Call& call)>& f, const Tensor& x, const Call& call) {
  if (!call.effects) return recompute([=](const std::vector<Tensor>& in) { return f(in[0], call); }, {x});
  struct First {
    Effects effects;
    Shape shape;
  };
  const auto first = std::make_shared<std::optional<First>>();
  const auto written = call.effects->written_;   // tensors of now, whatever comes later
  const Tensor packed = recompute(
      [=](const std::vector<Tensor>& in) {
        Effects own;
        own.written_ = written;
        Call inner = call;
        inner.effects = &own;
        const Tensor y = f(in[0], inner);
        if (!*first) *first = {own, y.shape()};
        if (own.losses_.empty()) return y;
        std::vector<Tensor> parts{reshape(y, {-1})};
        for (const AuxiliaryLoss& loss : own.losses_) parts.push_back(reshape(loss.value, {1}));
        return concat(parts, 0);
      },
      {x});
  const auto& [effects, shape] = **first;
  for (const auto& [buffer, value] : effects.written_) call.effects->write(*buffer, value);
  if (effects.losses_.empty()) return packed;
  const int64_t elements = shape.elements();
  for (size_t i = 0; i < effects.losses_.size(); ++i) {
    const auto& [name, value, weight] = effects.losses_[i];
    call.effects->add_loss({name, slice(packed, 0, elements + static_cast<int64_t>(i), 1), weight});
  }
  return reshape(slice(packed, 0, 0, elements), shape);
}

}  // namespace tapir::nn
