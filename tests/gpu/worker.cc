// Pieces of work on one device, one at a time, so that a driver (peers.py) can interleave PyTorch's.
//
//   tapir_gpu_worker DEVICE step BATCH CONTEXT LAYERS WIDTH HEADS VOCABULARY
//     a training step of a language model of that shape on random tokens, with products in bf16 and fused attention:
//     forward, backward, clipping, AdamW
//   tapir_gpu_worker DEVICE neural BATCH HEADS LENGTH HIDDEN WIDTH
//     Neural Attention, fused and causal, with the gradients of all its inputs
//
// Prints `ready` after two pieces. Then each line on standard input has one more done, and is answered with the milliseconds
// that it took and the bytes that it needed at most beyond what stays.
#include <cstdlib>
#include <functional>
#include <iostream>
#include <random>

#include "attention/kernels/fused_attention.h"
#include "attention/mechanisms/dot_product.h"
#include "autograd/backward.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/sum.h"
#include "nn/models/transformer.h"
#include "nn/optim/optimiser.h"
#include "nn/train/progress.h"
#include "tensor/arena.h"
#include "tensor/precision.h"
#include "tests/bench/cases.h"

using namespace tapir;

namespace {

// Of one piece of work. What it returns is read, so that it is done.
using Piece = std::function<Tensor()>;

Piece training_step(const std::vector<int64_t>& sizes) {
  const int64_t batch = sizes[0], context = sizes[1], vocabulary = sizes[5];
  nn::TransformerOptions options;
  options.context = context;
  options.layers = sizes[2];
  options.width = sizes[3];
  options.heads = sizes[4];
  options.vocabulary = vocabulary;
  set_precision(Precision::bf16);
  const auto model = std::make_shared<nn::LanguageModel>(
      options, [](const MixerShape& shape) { return make_dot_product(shape, true); });
  model->initialise(1);
  const auto optimiser = std::make_shared<nn::AdamW>(*model, nn::AdamWOptions());
  const auto random = std::make_shared<std::mt19937>(1);
  const auto tokens = [=] {
    std::vector<int32_t> ids(batch * context);
    for (int32_t& id : ids) id = static_cast<int32_t>((*random)() % static_cast<uint32_t>(vocabulary));
    return ids;
  };
  return [=] {
    optimiser->clear_gradients();
    const nn::Call call{.training = true, .mask = {}, .recorder = {}};
    const Tensor logits = model->forward(Tensor::from(tokens(), {batch, context}), call);
    const int64_t rows = batch * context;
    const Tensor loss = cross_entropy(reshape(logits, {rows, vocabulary}), Tensor::from(tokens(), {rows}));
    backward(loss);
    optimiser->step(1e-4, optimiser->clip(1, rows).scale);
    return loss;
  };
}

Piece neural_attention(const std::vector<int64_t>& sizes) {
  const int64_t batch = sizes[0], heads = sizes[1], length = sizes[2], hidden = sizes[3], width = sizes[4];
  std::vector<Tensor> in;
  for (const Shape& shape : {Shape{batch, heads, length, hidden}, Shape{batch, heads, length, hidden},
                             Shape{batch, heads, length, width}, Shape{1, hidden}})
    in.push_back(requires_grad(uniform(shape)));
  return [=] {
    const Mask causal{.causal = true, .offset = 0, .keys = {}};
    const Tensor loss = sum(network_attention(in[0], in[1], in[2], in[3], causal, false));
    grad({loss}, in);
    return loss;
  };
}

}  // namespace

int main(int argc, char** argv) try {
  const std::string work = argc > 2 ? argv[2] : "";
  const auto usage = [] { return "usage: tapir_gpu_worker cpu|cuda step|neural SIZE…, see tests/gpu/worker.cc"; };
  require((work == "step" && argc == 9) || (work == "neural" && argc == 8), "tapir_gpu_worker", usage);
  if (std::string(argv[1]) == "cuda") set_default_device(Device::cuda);
  std::vector<int64_t> sizes;
  for (int i = 3; i < argc; ++i) sizes.push_back(std::atoll(argv[i]));
  const Piece piece = work == "step" ? training_step(sizes) : neural_attention(sizes);
  Arena& arena = Arena::of(default_device());
  for (int i = 0; i < 2; ++i) piece().item();
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    arena.reset_peak();
    const int64_t before = arena.statistics().in_use;
    const double begin = steady_seconds();
    piece().item();
    const double milliseconds = 1e3 * (steady_seconds() - begin);
    std::cout << milliseconds << ' ' << arena.statistics().peak - before << std::endl;
  }
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
