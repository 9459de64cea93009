// What one mixer of width 256 with 4 heads costs at N tokens, forward and backward, f32.
//
//   tapir_lengths [MECHANISM...]          operations and peak memory, counted in a dry run, so that nothing is computed and no
//                                         memory touched (dot_product, linear)
//   tapir_lengths --times [--whole] [MECHANISM[:fused]...]
//                                         milliseconds on one thread, medians of passes that take turns, under a causal mask where
//                                         a mechanism takes one, or without one in all (the dot product, naive and fused, and
//                                         all that claim to be linear); draw_lengths.py makes a picture of it
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "attention/staged.h"
#include "attention/zoo.h"
#include "autograd/backward.h"
#include "tensor/arena.h"
#include "tensor/dry_run.h"
#include "tensor/random.h"
#include "tensor/threads.h"

using namespace tapir;

namespace {

const MixerShape shape{.width = 256, .heads = 4};

void pass(nn::TokenMixer& mixer, const Tensor& x, const Tensor& cotangent, bool causal) {
  nn::Call call;
  call.mask.causal = causal;
  grad({mixer.forward(x, x, call)}, {x}, {cotangent});
}

void print_costs(const Mechanism& row, int64_t N, bool causal) {
  const auto mixer = row.make(*row.options(), shape);
  mixer->initialise(1);
  const Rehearsal run(default_device());
  Arena& arena = Arena::of(default_device());
  const Tensor x = requires_grad(Tensor::zeros({1, N, shape.width}));
  arena.reset_peak();
  const int64_t before = arena.statistics().peak;
  pass(*mixer, x, Tensor::zeros({1, N, shape.width}), causal);
  int64_t operations = 0;
  for (const auto& [path, count] : run.operations()) operations += count;
  std::printf("%-12s %-7s %6lld %12.2f %10.1f\n", row.name.c_str(), causal ? "causal" : "full", static_cast<long long>(N),
              static_cast<double>(operations) / 1e9, static_cast<double>(arena.statistics().peak - before) / (1 << 20));
}

void print_all_costs(std::vector<std::string> names) {
  if (names.empty()) names = {"dot_product", "linear"};
  std::printf("%-12s %-7s %6s %12s %10s\n", "mechanism", "mask", "N", "operations", "peak");
  std::printf("%-12s %-7s %6s %12s %10s\n", "", "", "", "10⁹", "MiB");
  for (const std::string& name : names)
    for (const bool causal : {false, true})
      for (int64_t N = 1024; N <= 16384; N *= 2) print_costs(mechanism(name), N, causal);
}

struct Timed {
  std::string name;
  std::unique_ptr<nn::TokenMixer> mixer;
  std::vector<double> milliseconds = {};
};

std::vector<Timed> timed(std::vector<std::string> names) {
  if (names.empty()) {
    names = {"dot_product", "dot_product:fused"};
    for (const Mechanism& row : zoo())
      if (row.claims(*row.options()).linear) names.push_back(row.name);
  }
  std::vector<Timed> all;
  for (const std::string& name : names) {
    const Mechanism& row = mechanism(name.substr(0, name.find(':')));
    const auto options = row.options();
    if (name.ends_with(":fused")) {
      auto* const staged = dynamic_cast<StagedOptions*>(options.get());
      require(staged, "tapir_lengths", [&] { return row.name + " has no fused form"; });
      staged->implementation = "fused";
    }
    all.push_back({name, row.make(*options, shape)});
    all.back().mixer->initialise(1);
  }
  return all;
}

void print_times(const std::vector<std::string>& names, bool whole) {
  set_threads(1);
  std::vector<Timed> all = timed(names);
  std::printf("N");
  for (const Timed& one : all) std::printf("\t%s", one.name.c_str());
  for (int64_t N = 64; N <= 8192; N *= 2) {
    Tensor x = Tensor::empty({1, N, shape.width}), u = Tensor::empty(x.shape());
    normal_(x, 0, 1, RandomKey(1, 0));
    normal_(u, 0, 1, RandomKey(1, 1));
    x = requires_grad(x);
    const int64_t rounds = std::clamp<int64_t>(8192 / N, 5, 25);
    for (Timed& one : all) one.milliseconds.clear();
    for (int64_t round = 0; round <= rounds; ++round)   // the first one meets cold caches and does not count
      for (Timed& one : all) {
        const auto begin = std::chrono::steady_clock::now();
        pass(*one.mixer, x, u, !whole && !one.mixer->needs().all_tokens);
        const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - begin;
        if (round > 0) one.milliseconds.push_back(taken.count());
      }
    std::printf("\n%lld", static_cast<long long>(N));
    for (Timed& one : all) {
      std::nth_element(one.milliseconds.begin(), one.milliseconds.begin() + rounds / 2, one.milliseconds.end());
      std::printf("\t%.4g", one.milliseconds[rounds / 2]);
    }
    std::fflush(stdout);
  }
  std::printf("\n");
}

}  // namespace

int main(int count, char** arguments) try {
  std::vector<std::string> names(arguments + 1, arguments + count);
  if (names.empty() || names[0] != "--times") return print_all_costs(names), 0;
  names.erase(names.begin());
  const bool whole = !names.empty() && names[0] == "--whole";
  if (whole) names.erase(names.begin());
  print_times(names, whole);
  return 0;
} catch (const Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
