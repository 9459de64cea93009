// What a generated token costs: the whole window again with the logits of every token, the same with the last logits alone, and
// token by token from what the model remembers. Batch 1, width 256, 4 layers, a window of 512 tokens that is full, greedy.
//
//   tapir_generate [THREADS] [VOCABULARY]      (1, 33278: that of WikiText-2)
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "attention/mechanisms/dot_product.h"
#include "autograd/node.h"
#include "nn/models/transformer.h"
#include "nn/train/progress.h"
#include "tensor/threads.h"

using namespace tapir;

namespace {

constexpr int64_t context = 512, tokens = 512;

int32_t likeliest(const Tensor& logits, int64_t vocabulary) {   // by the last row
  const std::vector<float> all = logits.values<float>();
  const auto last = all.end() - vocabulary;
  return static_cast<int32_t>(std::max_element(last, all.end()) - last);
}

// Median seconds of a token, of `count` of them after a full window.
template <class Next> double median_seconds(int64_t count, const Next& next) {
  std::vector<double> seconds;
  for (int64_t k = 0; k < count; ++k) {
    const double start = steady_seconds();
    next();
    seconds.push_back(steady_seconds() - start);
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 2];
}

}  // namespace

int main(int count, char** arguments) {
  set_threads(count > 1 ? std::atoi(arguments[1]) : 1);
  nn::TransformerOptions options;
  options.vocabulary = count > 2 ? std::atoll(arguments[2]) : 33278;
  options.context = context;
  nn::LanguageModel model(options, [](const MixerShape& shape) { return make_dot_product(shape); });
  model.initialise(1);
  const NoGrad guard;

  std::vector<int32_t> window(context);
  std::iota(window.begin(), window.end(), 0);
  const auto shift = [&](int32_t id) {
    window.erase(window.begin());
    window.push_back(id);
  };
  const double all_logits = median_seconds(9, [&] {
    shift(likeliest(model.forward(Tensor::from(window, {1, context}), {}), options.vocabulary));
  });
  const double last_logits = median_seconds(9, [&] {
    nn::DecoderState state = model.state(1);
    shift(likeliest(model.step(Tensor::from(window, {1, context}), state), options.vocabulary));
  });

  // As `tapir generate` does: at the end of the context the last half is read again. All of it counts.
  nn::DecoderState state = model.state(1);
  Tensor logits = model.step(Tensor::from(window, {1, context}), state);
  const double start = steady_seconds();
  for (int64_t k = 0; k < tokens; ++k) {
    shift(likeliest(logits, options.vocabulary));
    if (state.lengths[0] == context) {
      const std::vector<int32_t> half(window.end() - context / 2 - 1, window.end());
      state = model.state(1);
      logits = model.step(Tensor::from(half, {1, static_cast<int64_t>(half.size())}), state);
    } else {
      logits = model.step(Tensor::from(std::vector<int32_t>{window.back()}, {1, 1}), state);
    }
  }
  const double streaming = (steady_seconds() - start) / tokens;

  std::printf("| a token of a full window of %lld | ms | times |\n|---|---|---|\n", static_cast<long long>(context));
  const auto row = [&](const char* name, double seconds) {
    std::printf("| %s | %.2f | %.1f |\n", name, 1e3 * seconds, seconds / streaming);
  };
  row("all again, logits of every token", all_logits);
  row("all again, the last logits alone", last_logits);
  row("token by token, mean of 512 with what is read again", streaming);
}
