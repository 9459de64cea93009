// Every op of tests/bench/cases.h and every mechanism of the zoo on one device.
//
//   tapir_gpu_bench DEVICE SCALE SECONDS JSONL
//
// Prints Markdown tables, and a JSON object for each line of them into the file JSONL. A time is that of one run in a loop of
// runs with one wait for the device behind it. An op's share of the copy's speed is (time of a copy that reads and writes
// the op's bytes, half of them each) / (time of the op), measured right before it. Its bytes: inputs and outputs once each;
// with gradients the inputs again, and the outputs' and the inputs' gradients. After SECONDS no further case begins.
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <limits>

#include "attention/zoo.h"
#include "nn/train/progress.h"
#include "tensor/arena.h"
#include "tensor/error.h"
#include "tensor/memory.h"
#include "tests/bench/cases.h"

using namespace tapir;

namespace {

constexpr double least_loop = 0.02, first_loop = 0.2;   // seconds
constexpr int loops = 3;
constexpr int64_t width = 512, heads = 8;   // of attention

void wait() {   // what is read comes after all that was launched
  static const Tensor mark = Tensor::zeros({1}, DType::f32);
  mark.item();
}

double seconds_of(const std::function<void()>& work, int64_t runs) {
  wait();
  const double begin = steady_seconds();
  for (int64_t i = 0; i < runs; ++i) work();
  wait();
  return (steady_seconds() - begin) / static_cast<double>(runs);
}

// Of one run: the least of a few loops, each as long as the clock needs. What is slow runs once more and no longer.
double time_of(const std::function<void()>& work) {
  work();   // the arena takes its memory
  double least = seconds_of(work, 1);
  if (least > first_loop) return least;
  const auto runs = static_cast<int64_t>(least_loop / least) + 1;
  for (int i = 0; i < loops; ++i) least = std::min(least, seconds_of(work, runs));
  return least;
}

double time_of_copy(int64_t bytes) {   // half read, half written
  const Shape half{bytes / 8};
  const Tensor from = Tensor::full(half, 1, DType::f32);
  Tensor to = Tensor::empty(half, DType::f32);
  const Device device = default_device();
  return time_of([&] { copy_bytes(device, to.data<float>(), device, from.data<float>(), half[0] * 4); });
}

struct Report {
  std::FILE* lines;
  double end;
  int left_out = 0, failures = 0;

  bool time_is_up() { return steady_seconds() > end && ++left_out; }

  void op(const std::string& name, int64_t bytes, const std::function<void()>& work) {
    if (time_is_up()) return;
    const double copy = time_of_copy(bytes), time = time_of(work);
    const double gigabytes = 1e-9 * static_cast<double>(bytes) / time, share = copy / time;
    std::printf("| %s | %.4f | %.0f | %.2f |\n", name.c_str(), 1e3 * time, gigabytes, share);
    std::fprintf(lines, "{\"op\": \"%s\", \"milliseconds\": %.6f, \"gigabytes_per_second\": %.2f, \"share_of_copy\": %.4f}\n",
                 name.c_str(), 1e3 * time, gigabytes, share);
    flush();
  }

  // What fails is a line too, and the others go on.
  void attempt(const std::string& name, const std::function<void()>& measure) {
    try {
      measure();
    } catch (const Error& error) {
      ++failures;
      std::printf("| %s | failed: %s | | |\n", name.c_str(), error.what());
      flush();
    }
  }

  void flush() const { std::fflush(stdout), std::fflush(lines); }
};

int64_t bytes_of(const std::vector<Tensor>& tensors) {
  int64_t bytes = 0;
  for (const Tensor& x : tensors) bytes += x.elements() * size_of(x.dtype());
  return bytes;
}

void measure_op(Report& report, const std::string& name, const Case& one) {
  int64_t inputs = 0, output = 0;
  {
    const NoGrad guard;
    std::vector<Tensor> in;
    for (const Shape& shape : one.inputs) in.push_back(uniform(shape));
    inputs = bytes_of(in);
    output = bytes_of({one.f(in)});
  }
  report.op(name, inputs + output, runner(one, false));
  report.op(name + " with gradients", 3 * inputs + 2 * output, runner(one, true));
}

// Self-attention of x (B,T,C) with the paper's defaults, and the gradients of x and of all parameters.
void measure_mechanism(Report& report, const Mechanism& mechanism, int64_t batch, int64_t length) {
  if (report.time_is_up()) return;
  const std::unique_ptr<nn::TokenMixer> mixer = mechanism.make(*mechanism.options(), {.width = width, .heads = heads});
  mixer->initialise(1);
  const Tensor x = requires_grad(uniform({batch, length, width}));
  nn::Call call;
  call.mask.causal = mechanism.claims(*mechanism.options()).causal;
  const double forward = time_of([&] {
    const NoGrad guard;
    mixer->forward(x, x, call);
  });
  Arena& arena = Arena::of(default_device());
  arena.reset_peak();
  const int64_t before = arena.statistics().in_use;
  const double step = time_of([&] { backward(sum(mixer->forward(x, x, call))); });
  const int64_t peak = arena.statistics().peak - before;
  std::printf("| %s | %.3f | %.3f | %.1f |\n", mechanism.name.c_str(), 1e3 * forward, 1e3 * step,
              1e-6 * static_cast<double>(peak));
  std::fprintf(report.lines,
               "{\"mechanism\": \"%s\", \"batch\": %lld, \"length\": %lld, \"forward_milliseconds\": %.6f, "
               "\"with_gradients_milliseconds\": %.6f, \"peak_bytes\": %lld}\n",
               mechanism.name.c_str(), static_cast<long long>(batch), static_cast<long long>(length), 1e3 * forward, 1e3 * step,
               static_cast<long long>(peak));
  report.flush();
}

}  // namespace

int main(int argc, char** argv) try {
  require(argc == 5, "tapir_gpu_bench", [] { return "usage: tapir_gpu_bench cpu|cuda SCALE SECONDS JSONL"; });
  if (std::string(argv[1]) == "cuda") set_default_device(Device::cuda);
  const int64_t scale = std::atoi(argv[2]);
  Report report{std::fopen(argv[4], "w"), steady_seconds() + std::atof(argv[3])};
  require(report.lines, "tapir_gpu_bench", [&] { return text(argv[4], ": cannot be written"); });

  const int64_t batch = std::max<int64_t>(1, scale / 2), length = 512;
  std::cout << "Self-attention on x (" << batch << ", " << length << ", " << width << ") with " << heads << " heads, f32:\n\n"
            << std::flush;
  std::printf("| mechanism | forward ms | with gradients ms | MB at the peak |\n|---|---|---|---|\n");
  for (const Mechanism& mechanism : zoo())
    report.attempt(mechanism.name, [&] { measure_mechanism(report, mechanism, batch, length); });

  std::cout << "\nOps, f32, " << scale << " times the rows of cases.h:\n\n"
            << "| op | ms | GB/s | share of the copy's speed |\n|---|---|---|---|" << std::endl;
  for (const auto& entry : cases(scale)) {
    report.attempt(entry.first, [&] { measure_op(report, entry.first, entry.second); });
    Arena::of(default_device()).release_cache();
  }
  constexpr int64_t weights = 1024 * 8192, passes = 7;   // reads w, g, m, v; writes w, m, v
  report.op("adamw", passes * weights * 4, adamw());
  if (report.left_out > 0) std::printf("\nTime was up: %d lines are left out.\n", report.left_out);
  std::fclose(report.lines);
  return report.failures > 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
