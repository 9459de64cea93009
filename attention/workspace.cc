#include "attention/workspace.h"

#include <cmath>
#include <limits>
#include <numeric>

#include "attention/heads.h"
#include "attention/kernels/mix.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/comparison.h"
#include "autograd/ops/index.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/sum.h"
#include "autograd/ops/unary.h"

namespace tapir {
namespace {

Tensor number(double value, const Tensor& like) { return Tensor::full({}, value, like.dtype(), like.device()); }

std::unique_ptr<nn::Linear> without_bias(int64_t in, int64_t out) {
  return std::make_unique<nn::Linear>(in, out, false, nn::Init::fan_in(in));
}

// The tokens (B,N,C) that are there, one after the other: (tokens,C).
Tensor squashed(const Tensor& z, const Tensor& keys) {
  const Tensor all = reshape(z, {-1, z.size(2)});
  if (!keys.defined()) return all;
  const std::vector<uint8_t> present = keys.values<uint8_t>();
  std::vector<int32_t> places;
  for (size_t i = 0; i < present.size(); ++i)
    if (present[i]) places.push_back(static_cast<int32_t>(i));
  return index_select(all, 0, Tensor::from(places, {static_cast<int64_t>(places.size())}, z.device()));
}

Tensor unit_rows(const Tensor& x) {   // each divided by its length
  return div(x, clamp(norm(x, 2, -1, true), 1e-12, std::numeric_limits<double>::infinity()));
}

}  // namespace

Tensor bottleneck(const Tensor& scores, int64_t selected) {
  const int64_t n = scores.size(-1);
  if (selected >= n) return softmax(scores);
  const Sorted largest = topk(scores.detach(), selected);
  const Tensor threshold = slice(largest.values, -1, selected - 1, 1), last = slice(largest.indices, -1, selected - 1, 1);
  std::vector<int32_t> places(n);
  std::iota(places.begin(), places.end(), 0);
  const Tensor none = number(below_all_scores, scores);
  const Tensor among_first = where(less(scores, threshold), none, scores);
  const Tensor beyond = where(greater(scores, threshold), scores, none);
  return softmax(where(less_equal(Tensor::from(places, {n}, scores.device()), last), among_first, beyond));
}

Tensor squared_variation(const Tensor& x) { return div(var(x, -1), affine(square(mean(x, -1)), 1, 1e-10)); }

Tensor hopfield_step(const Tensor& tokens, const Tensor& patterns, double beta) {
  return matmul(softmax(affine(linear(tokens, patterns), beta, 0)), patterns);
}

Tensor hopfield_energy(const Tensor& tokens, const Tensor& patterns, double beta) {
  const Tensor attraction = affine(logsumexp(affine(linear(tokens, patterns), beta, 0)), -1 / beta, 0);
  const Tensor size = affine(sum(square(tokens), -1), 0.5, std::log(static_cast<double>(patterns.size(0))) / beta);
  return add(add(attraction, size), affine(max(sum(square(patterns), -1)), 0.5, 0));
}

Workspace::Workspace(const WorkspaceOptions& o, int64_t width)
    : options_(o), query_(adopt("query", without_bias(o.slot_width, o.memory_heads * o.slot_width))),
      key_(adopt("key", without_bias(width, o.memory_heads * o.slot_width))),
      value_(adopt("value", without_bias(width, o.memory_heads * o.slot_width))),
      out_(adopt("out", without_bias(o.memory_heads * o.slot_width, o.slot_width))),
      dropout_(child<nn::Dropout>("dropout", o.write_dropout)), norm_(child<nn::LayerNorm>("norm", o.slot_width, 1e-6)),
      patterns_(child<nn::Linear>("patterns", o.slot_width, width, true, nn::Init::fan_in(o.slot_width),
                                  nn::Init::fan_in(o.slot_width))),
      memory_(buffer("memory", {o.slots, o.slot_width}, nn::BufferKind::memory, nn::Init::normal(1))) {}

Tensor Workspace::forward(const Tensor& z, const nn::Call& call) {
  const Scope scope = enter();
  Tensor memory = call.read(memory_);
  if (call.training) {
    const Tensor tokens = squashed(z, call.mask.keys);
    Tensor after = tokens.size(0) > 0 ? written(tokens, memory, call) : memory;
    call.write(memory_, after);
    if (options_.gradient == "detached") after = after.detach();
    if (options_.read == "new" && !call.mask.causal) memory = after;
  }
  const Tensor patterns = patterns_.forward(memory);
  Tensor retrieved = z;
  for (int64_t step = 0; step < options_.retrieval_steps; ++step) retrieved = hopfield_step(retrieved, patterns, options_.beta);
  if (call.records("energy")) call.record("energy", hopfield_energy(retrieved, patterns, options_.beta));
  return leave(retrieved, z);
}

Tensor Workspace::written(const Tensor& tokens, const Tensor& before, const nn::Call& call) const {
  const auto heads = [&](const Tensor& x) { return split_heads(reshape(x, {1, x.size(0), x.size(1)}), options_.memory_heads); };
  const Tensor Q = heads(query_.forward(before)), K = heads(key_.forward(tokens)), V = heads(value_.forward(tokens));
  const double scale = 1 / std::sqrt(static_cast<double>(options_.slot_width));
  const Tensor G = bottleneck(affine(matmul(Q, transpose(K)), scale, 0), options_.selected);   // (1,S,M,N)
  call.record("write", G);
  if (options_.balance > 0 && tokens.size(0) > 1) {
    const Tensor importance = sum(G, 2), load = sum(where(greater(G, 0), number(1, G), number(0, G)), 2);
    call.add_loss("balance", sum(add(squared_variation(importance), squared_variation(load))), options_.balance);
  }
  const Tensor mixed = reshape(merge_heads(matmul(G, V)), {before.size(0), -1});
  const Tensor change = dropout_.forward(out_.forward(mixed), call);
  const Tensor r = norm_.forward(options_.residual ? add(change, before) : change);
  return unit_rows(add(affine(before, 1 - options_.memory_rate, 0), affine(r, options_.memory_rate, 0)));
}

}  // namespace tapir
