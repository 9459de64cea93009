// The emulator (tests/emulator/) finds what it is there to find: each fault is planted here.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>
#include <memory>
#include <vector>

#include "autograd/backward.h"
#include "autograd/ops/arithmetic.h"
#include "autograd/ops/shape.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/unary.h"
#include "tensor/cuda.h"
#include "tensor/launch.h"
#include "tests/emulator/cublas_v2.h"
#include "tests/emulator/cufft.h"
#include "tests/emulator/emulator.h"
#include "tests/messages.h"

using namespace tapir;

namespace {

constexpr int64_t count = 64;

// n floats of the device, exactly: the arena would round the size up.
struct Numbers {
  explicit Numbers(int64_t n) : data(static_cast<float*>(cuda::take(n * 4))) {
    for (int64_t i = 0; i < n; ++i) host.push_back(static_cast<float>(i));
    cuda::send(data, host.data(), n * 4);
  }
  ~Numbers() { cuda::give(data); }
  std::vector<float> read() {
    cuda::copy(host.data(), data, static_cast<int64_t>(host.size()) * 4);
    return host;
  }
  float* data;
  std::vector<float> host;
};

template <bool with_barrier>
__global__ void reverse(float* x) {   // in place: each thread must read before any writes
  const float mine = x[count - 1 - threadIdx.x];
  if (with_barrier) __syncthreads();
  x[threadIdx.x] = mine;
}

__global__ void barrier_for_some(float* x) {
  if (threadIdx.x < count / 2) __syncthreads();
  x[threadIdx.x] = 0;
}

__global__ void two_barriers(float* x) {
  if (threadIdx.x % 2 == 0) {
    __syncthreads();
    x[threadIdx.x] = 0;
  } else {
    __syncthreads();
  }
}

__global__ void add_one(float* x) { x[threadIdx.x] += 1; }

__global__ void add_one_behind(float* x) { x[threadIdx.x + 1] += 1; }

__global__ void shuffle_with(float* x, unsigned mask) { x[threadIdx.x] = __shfl_xor_sync(mask, x[threadIdx.x], 16); }

__global__ void shuffle_of_some(float* x) {
  if (threadIdx.x % 32 < 31) x[threadIdx.x] = __shfl_xor_sync(0xffffffffu, x[threadIdx.x], 1);
}

__global__ void turn_in_shared(float* x, unsigned distance) {
  float* const shared = static_cast<float*>(cuda::shared_memory());
  shared[threadIdx.x + distance] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = shared[threadIdx.x];
}

// counters: 0, −1, `count`, −1
__global__ void count_threads(float* x, int* counters) {
  const int me = static_cast<int>(threadIdx.x);
  x[me] = static_cast<float>(atomicAdd(&counters[0], 1));
  atomicMax(&counters[1], me);
  atomicMin(&counters[2], me);
  if (atomicCAS(&counters[3], -1, me) == -1) atomicExch(&counters[4], me);
}

template <class T>
concept HasAtomics = requires(T* place, T value) { atomicAdd(place, value); };

__global__ void read_shared(float* x) { x[threadIdx.x] = static_cast<float*>(cuda::shared_memory())[threadIdx.x]; }

template <class... Parameters, class... Arguments>
std::string message(void (*kernel)(Parameters...), Arguments... arguments) {
  return message_of([&] { cuda::launch(kernel, dim3(1), dim3(count), static_cast<Parameters>(arguments)...); });
}

const std::vector<std::pair<emulator::Order, uint64_t>> schedules = {
    {emulator::Order::ascending, 0}, {emulator::Order::descending, 0},
    {emulator::Order::shuffled, 1}, {emulator::Order::shuffled, 2}};

struct BackToAscending {
  ~BackToAscending() { emulator::set_schedule(emulator::Order::ascending); }
};

}  // namespace

TEST_CASE("emulator: schedules differ in their turns, a kernel with its barrier gives the same under each") {
  const BackToAscending after;
  std::vector<uint64_t> digests;
  std::vector<float> expected;
  for (int64_t i = count - 1; i >= 0; --i) expected.push_back(static_cast<float>(i));
  for (const auto& [order, seed] : schedules) {
    emulator::set_schedule(order, seed);
    const uint64_t before = emulator::schedule_digest();
    Numbers x(count);
    cuda::launch(reverse<true>, dim3(1), dim3(count), x.data);
    CHECK(x.read() == expected);
    digests.push_back(emulator::schedule_digest() ^ before);
  }
  for (size_t i = 0; i < digests.size(); ++i)
    for (size_t j = 0; j < i; ++j) CHECK(digests[i] != digests[j]);
}

TEST_CASE("emulator: a missing barrier shows as results that depend on the schedule") {
  const BackToAscending after;
  std::vector<std::vector<float>> results;
  for (const auto& [order, seed] : schedules) {
    emulator::set_schedule(order, seed);
    Numbers x(count);
    cuda::launch(reverse<false>, dim3(1), dim3(count), x.data);
    results.push_back(x.read());
  }
  CHECK(results[0] != results[1]);
  CHECK(results[0] != results[2]);
}

TEST_CASE("emulator: a barrier that not all threads reach is an error that names its line") {
  Numbers x(count);
  CHECK(contains_text(message(barrier_for_some, x.data), "divergent barrier: threads wait at test_emulator.cc:"));
  CHECK(contains_text(message(barrier_for_some, x.data), "for others that have ended"));
  CHECK(contains_text(message(two_barriers, x.data), "divergent barrier: some threads are at test_emulator.cc:"));
}

TEST_CASE("emulator: shuffles ask for all lanes of a mask that holds who takes part") {
  Numbers x(count);
  CHECK(message(shuffle_with, x.data, 0xffffffffu) == "no error");
  CHECK(contains_text(message(shuffle_with, x.data, 0x0000ffffu), "takes from lane 16, outside of the mask"));
  CHECK(contains_text(message(shuffle_with, x.data, 0xfffffffeu), "lane 0 is not in its own mask"));
  CHECK(contains_text(message(shuffle_of_some, x.data), "divergent shuffle: threads wait at test_emulator.cc:"));
}

TEST_CASE("emulator: an index past the end of a block is an error, and the process goes on") {
  Numbers x(count);
  CHECK(message(add_one, x.data) == "no error");
  CHECK(contains_text(message(add_one_behind, x.data), "touches the device's memory behind the end of a block"));
  CHECK(contains_text(message(add_one_behind, x.data), "thread 63"));
  CHECK(message(add_one, x.data) == "no error");
  CHECK(x.read()[0] == 2);
}

TEST_CASE("emulator: a kernel is not given addresses of the host") {
  std::vector<float> host(count);
  CHECK(contains_text(message(add_one, host.data()), "argument 0 of the kernel holds an address of the host"));
  const Tensor here = Tensor::zeros({4}, DType::f32, Device::cpu), there = Tensor::zeros({4}, DType::f32, Device::cuda);
  CHECK(contains_text(message_of([&] { add(here, there); }), "devices differ: cpu and cuda"));
}

TEST_CASE("emulator: the host does not read device memory") {
  const Tensor x = Tensor::zeros({4}, DType::f32, Device::cuda);
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    signal(SIGABRT, SIG_DFL);
    _exit(x.data<float>()[0] == 0 ? 0 : 1);
  }
  close(ends[1]);
  std::string said;
  char buffer[256];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) said.append(buffer, static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status));
  CHECK(contains_text(said, "the host touches device memory"));
}

TEST_CASE("emulator: a copy to the device happens as late as it may, so who changes the bytes too early is seen") {
  char* pinned = nullptr;
  cudaEvent_t fetched;
  REQUIRE(cudaMallocHost(reinterpret_cast<void**>(&pinned), 8) == cudaSuccess);
  REQUIRE(cudaEventCreateWithFlags(&fetched, cudaEventDisableTiming) == cudaSuccess);
  const auto sent_after = [&](bool waits) {   // 1 2 is sent, and 3 4 put in its place
    Numbers x(2);
    const float first[] = {1, 2}, second[] = {3, 4};
    std::memcpy(pinned, first, 8);
    CHECK(cudaMemcpyAsync(x.data, pinned, 8, cudaMemcpyHostToDevice, nullptr) == cudaSuccess);
    CHECK(cudaEventRecord(fetched, nullptr) == cudaSuccess);
    if (waits) CHECK(cudaEventSynchronize(fetched) == cudaSuccess);
    std::memcpy(pinned, second, 8);
    return x.read();
  };
  CHECK(sent_after(true) == std::vector<float>{1, 2});
  CHECK(sent_after(false) == std::vector<float>{3, 4});   // the fault
  Numbers x(count);
  CHECK(cudaMemcpyAsync(x.data, x.data, 8, cudaMemcpyHostToDevice, nullptr) == cudaErrorInvalidValue);
  cudaEventDestroy(fetched);
  cudaFreeHost(pinned);
}

TEST_CASE("emulator: bytes for the device pass through pinned memory many times over, and only there anyone waits") {
  const int64_t n = 300'000, times = 4;   // more than one megabyte, twice
  std::vector<std::unique_ptr<Numbers>> there;
  std::vector<float> x(n);
  const int64_t before = emulator::waits();
  for (int64_t k = 0; k < times; ++k) {
    there.push_back(std::make_unique<Numbers>(0));
    cuda::give(there.back()->data);
    there.back()->data = static_cast<float*>(cuda::take(n * 4));
    for (int64_t i = 0; i < n; ++i) x[i] = static_cast<float>(k * n + i);
    cuda::send(there.back()->data, x.data(), n * 4);
  }
  CHECK(emulator::waits() - before <= 5);   // 4.8 MB through halves of 1 MiB
  for (int64_t k = 0; k < times; ++k) {
    std::vector<float> read(n);
    cuda::copy(read.data(), there[k]->data, n * 4);
    bool right = true;
    for (int64_t i = 0; i < n; ++i) right = right && read[i] == static_cast<float>(k * n + i);
    CHECK(right);
  }
}

TEST_CASE("emulator: blocks, grids and shared memory beyond the limits") {
  Numbers x(count);
  const auto launched = [&](dim3 grid, dim3 block, size_t shared) {
    void* arguments[] = {&x.data};
    const cudaError_t status = cudaLaunchKernel(add_one, grid, block, arguments, shared, nullptr);
    return std::string(status == cudaSuccess ? "no error" : cudaGetErrorString(status));
  };
  CHECK(launched(dim3(1), dim3(count), 49152) == "no error");
  CHECK(launched(dim3(1), dim3(1025), 0) == "a block of 1025 threads: 1 to 1024 are allowed");
  CHECK(launched(dim3(1, 65536), dim3(count), 0) == "a grid beyond the limits");
  CHECK(launched(dim3(1), dim3(count), 49153) == "49153 bytes of shared memory: at most 49152");
  const auto allow = [](int bytes) {
    return cudaFuncSetAttribute(reinterpret_cast<const void*>(add_one), cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  CHECK(allow(100000) == cudaSuccess);
  CHECK(launched(dim3(1), dim3(count), 100000) == "no error");
  CHECK(launched(dim3(1), dim3(count), 100001) == "100001 bytes of shared memory: at most 100000");
  CHECK(allow(232449) != cudaSuccess);
}

TEST_CASE("emulator: an index past the end of shared memory, and shared memory that nobody wrote") {
  Numbers x(count);
  const auto turned = [&](unsigned distance) {
    return message_of([&] { cuda::launch_with(count * 4, turn_in_shared, dim3(1), dim3(count), x.data, distance); });
  };
  CHECK(turned(0) == "no error");
  CHECK(x.read()[0] == 0);
  CHECK(contains_text(turned(1), "touches an address that is not the device's (block 0, thread 63)"));
  cuda::launch_with(count * 4, read_shared, dim3(1), dim3(count), x.data);
  CHECK(std::isnan(x.read()[0]));
}

TEST_CASE("emulator: what a kernel breaks is told with the op and the module that asked, and the CPU goes on") {
  const Tensor x = requires_grad(Tensor::from(std::vector<float>{1, -2}, {2}, Device::cuda));
  const auto in_module = [](const auto& work) {
    const Scope scope("block.3");
    return message_of(work);
  };
  const Tensor y = relu(x);
  const std::string end = ": an illegal memory access was encountered (in block.3); hint: the device is lost to this process, cpu "
                          "is not; CUDA_LAUNCH_BLOCKING=1 tells whose kernel it was";
  const auto blamed = [&](const std::string& op, const auto& work) {   // at a launch, or before at memory for its result
    const std::string message = in_module(work);
    return message == op + ": kernel launch" + end || message == op + ": memory" + end;
  };
  emulator::set_lost(true);
  CHECK(blamed("sin", [&] { sin(x); }));
  CHECK(blamed("softmax", [&] { softmax(reshape(x, {1, 2})); }));
  CHECK(message_of([&] { grad({y}, {x}, {y}); }).starts_with("relu: "));
  CHECK(message_of([&] { Tensor::zeros({1 << 24}, DType::f32, Device::cuda); }).starts_with("cuda: memory: an illegal"));
  CHECK(message_of([&] { y.values<float>(); }).starts_with("cuda: copy: an illegal"));
  CHECK(relu(Tensor::full({2}, 3, DType::f32, Device::cpu)).values<float>()[1] == 3);
  emulator::set_lost(false);
  CHECK(grad({y}, {x}, {y})[0].values<float>() == std::vector<float>{1, 0});
}

TEST_CASE("emulator: atomics of integers, in every order of threads, and none of floats") {
  static_assert(HasAtomics<int> && HasAtomics<unsigned long long> && !HasAtomics<float>);
  for (const auto order : {emulator::Order::ascending, emulator::Order::descending, emulator::Order::shuffled}) {
    emulator::set_schedule(order, 7);
    Numbers x(count);
    const Tensor counters = Tensor::from(std::vector<int32_t>{0, -1, count, -1, -1}, {5}, Device::cuda);
    CHECK(message(count_threads, x.data, counters.data<int32_t>()) == "no error");
    std::vector<float> turns = x.read();
    std::sort(turns.begin(), turns.end());
    bool each_once = true;
    for (int i = 0; i < count; ++i) each_once = each_once && turns[i] == static_cast<float>(i);
    CHECK(each_once);
    const std::vector<int32_t> found = counters.to(Device::cpu).values<int32_t>();
    CHECK(found[0] == count);
    CHECK(found[1] == count - 1);
    CHECK(found[2] == 0);
    CHECK(found[3] == found[4]);   // who came first, and only that one
  }
  emulator::set_schedule(emulator::Order::ascending);
}

TEST_CASE("emulator: a machine without a device, without a driver, or with one that is too old") {
  const auto on = [](int driver, int devices) {
    emulator::set_machine(driver, devices);
    const std::string message = message_of(cuda::require_device);
    emulator::set_machine(13000, 1);
    return message;
  };
  CHECK(on(13000, 1) == "no error");
  CHECK(on(13000, 0) == "device: there is no CUDA device; hint: use cpu");
  CHECK(on(0, 0) == "device: cuda needs a driver, and there is none; hint: install a newer NVIDIA driver, or use cpu");
  CHECK(on(12020, 1) ==
        "device: the driver is for CUDA 12.2, this build for 13.0; hint: install a newer NVIDIA driver, or use cpu");
}

TEST_CASE("emulator: cuBLAS refuses small leading dimensions, memory of the host, and types that do not go together") {
  Numbers a(count), b(count), c(count);
  const float one = 1, zero = 0;
  cublasHandle_t handle;
  cublasCreate(&handle);
  const auto product = [&](const float* left, cudaDataType type, int lda, cublasComputeType_t compute) {
    return cublasGemmStridedBatchedEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &one, left, type, lda, 16, b.data, type, 4, 16,
                                      &zero, c.data, CUDA_R_32F, 4, 16, 1, compute, CUBLAS_GEMM_DEFAULT);
  };
  CHECK(product(a.data, CUDA_R_32F, 4, CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_SUCCESS);
  CHECK(product(a.data, CUDA_R_32F, 3, CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(product(a.host.data(), CUDA_R_32F, 4, CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(product(a.data, CUDA_R_64F, 4, CUBLAS_COMPUTE_64F) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(product(a.data, CUDA_R_16BF, 4, CUBLAS_COMPUTE_32F_FAST_TF32) == CUBLAS_STATUS_NOT_SUPPORTED);
}

TEST_CASE("emulator: cuFFT refuses other layouts, memory of the host and real rows that begin between complex numbers") {
  Numbers x(count), X(count), real(count);
  int n = 6, half = 4;
  cufftHandle plan = 0, back = 0;
  const auto layout = [&](int width, int batch) {
    return cufftPlanMany(&plan, 1, &n, &n, 1, n, &half, 1, width, CUFFT_R2C, batch);
  };
  CHECK(layout(n, 1) == CUFFT_NOT_SUPPORTED);
  CHECK(layout(half, 0) == CUFFT_INVALID_VALUE);
  REQUIRE(layout(half, 2) == CUFFT_SUCCESS);
  REQUIRE(cufftPlanMany(&back, 1, &n, &half, 1, half, &n, 1, n, CUFFT_C2R, 2) == CUFFT_SUCCESS);
  auto* const spectrum = reinterpret_cast<cufftComplex*>(X.data);
  CHECK(cufftExecR2C(plan, x.data, spectrum) == CUFFT_SUCCESS);
  CHECK(cufftExecR2C(plan, x.data + 1, spectrum) == CUFFT_UNALIGNED_DATA);
  CHECK(cufftExecR2C(plan, x.host.data(), spectrum) == CUFFT_INVALID_VALUE);
  CHECK(cufftExecR2C(back, x.data, spectrum) == CUFFT_INVALID_PLAN);

  // What it transforms back is gone, and imaginary parts that are not 0 where they have to be spoil it.
  X.host = {0, 0, 1, 2, 3, 4, 5, 0, 0, 1, 1, 2, 3, 4, 5, 0};
  cuda::copy(X.data, X.host.data(), 64);
  CHECK(cufftExecC2R(back, spectrum, real.data) == CUFFT_SUCCESS);
  CHECK(std::isnan(X.read()[2]));
  CHECK(real.read()[0] == 13);
  CHECK(std::isnan(real.read()[6]));
  CHECK(cufftDestroy(plan) == CUFFT_SUCCESS);
  CHECK(cufftDestroy(plan) == CUFFT_INVALID_PLAN);
  CHECK(cufftDestroy(back) == CUFFT_SUCCESS);
}

TEST_CASE("emulator: TF32 products read 10 bits of a significand, whoever rounded them") {
  Numbers a(1), b(1), c(1);
  a.host = {1 + 0x1p-10f + 0x1.8p-11f};
  b.host = {1};
  cuda::copy(a.data, a.host.data(), 4);
  cuda::copy(b.data, b.host.data(), 4);
  const float one = 1, zero = 0;
  cublasHandle_t handle;
  cublasCreate(&handle);
  const cublasStatus_t status = cublasGemmStridedBatchedEx(
      handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a.data, CUDA_R_32F, 1, 1, b.data, CUDA_R_32F, 1, 1, &zero, c.data,
      CUDA_R_32F, 1, 1, 1, CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_GEMM_DEFAULT);
  CHECK(status == CUBLAS_STATUS_SUCCESS);
  CHECK(c.read()[0] == 1 + 0x1p-10f);
}
