// What one mixer of width 256 with 4 heads costs at N tokens, forward and backward, f32: counted in a dry run, so that nothing
// is computed and no memory touched.
//
//   tapir_lengths [MECHANISM...]      (dot_product, linear)
#include <cstdio>
#include <string>
#include <vector>

#include "attention/zoo.h"
#include "autograd/backward.h"
#include "tensor/arena.h"
#include "tensor/dry_run.h"

using namespace tapir;

namespace {

void print_costs(const Mechanism& row, int64_t N, bool causal) {
  const auto mixer = row.make(*row.options(), {.width = 256, .heads = 4});
  mixer->initialise(1);
  const Rehearsal run(default_device());
  Arena& arena = Arena::of(default_device());
  const Tensor x = requires_grad(Tensor::zeros({1, N, 256}));
  arena.reset_peak();
  const int64_t before = arena.statistics().peak;
  nn::Call call;
  call.mask.causal = causal;
  grad({mixer->forward(x, x, call)}, {x}, {Tensor::zeros({1, N, 256})});
  int64_t operations = 0;
  for (const auto& [path, count] : run.operations()) operations += count;
  std::printf("%-12s %-7s %6lld %12.2f %10.1f\n", row.name.c_str(), causal ? "causal" : "full", static_cast<long long>(N),
              static_cast<double>(operations) / 1e9, static_cast<double>(arena.statistics().peak - before) / (1 << 20));
}

}  // namespace

int main(int count, char** arguments) try {
  std::vector<std::string> names(arguments + 1, arguments + count);
  if (names.empty()) names = {"dot_product", "linear"};
  std::printf("%-12s %-7s %6s %12s %10s\n", "mechanism", "mask", "N", "operations", "peak");
  std::printf("%-12s %-7s %6s %12s %10s\n", "", "", "", "10⁹", "MiB");
  for (const std::string& name : names)
    for (const bool causal : {false, true})
      for (int64_t N = 1024; N <= 16384; N *= 2) print_costs(mechanism(name), N, causal);
  return 0;
} catch (const Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
