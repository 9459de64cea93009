// Launches: the threads of a block take turns, as fibers, until each has ended.
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/emulator/cuda_runtime.h"
#include "tests/emulator/emulator.h"
#include "tests/emulator/fiber.h"
#include "tests/emulator/state.h"

namespace emulator {

thread_local uint3 thread_index{}, block_index{};
thread_local dim3 block_size, grid_size;

namespace {

constexpr unsigned warp_size = 32;

std::ostream& operator<<(std::ostream& out, const Place& place) {
  const std::string_view file = place.file_name();
  return out << file.substr(file.rfind('/') + 1) << ':' << place.line();
}

template <class... Parts>
std::string said(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

bool same(const Place& a, const Place& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

struct Thread {
  Fiber* fiber = nullptr;   // null before its first turn
  bool waits = false, ended = false;
  const char* at = "";      // what it waits in
  Place place;
};

// Threads that meet: those of a block at a barrier, those of a warp at a shuffle.
struct Meeting {
  unsigned expected = 0, arrived = 0, mask = 0;
  uint64_t generation = 0;
  Place place;
  uint64_t values[2][warp_size] = {};
};

struct Schedule {
  Order order = Order::ascending;
  std::mt19937_64 random;
  uint64_t digest = 14695981039346656037u;

  void arrange(std::vector<unsigned>& list) {
    for (unsigned i = 0; i < list.size(); ++i) list[i] = i;
    if (order == Order::descending) std::reverse(list.begin(), list.end());
    if (order == Order::shuffled) std::shuffle(list.begin(), list.end(), random);
  }
  void note(uint64_t turn) { digest = (digest ^ turn) * 1099511628211u; }
};

Schedule schedule;
int64_t launches_so_far = 0;
std::string last_fault;
bool lost = false;
int driver = 13000, device_count = 1;

struct Block {
  std::vector<Thread> threads;
  std::vector<Meeting> warps;
  Meeting barrier;
  std::vector<unsigned> order;                // of this pass over the threads
  unsigned position = 0, current = 0, ended = 0;   // in `order`; the thread that runs
  bool faulted = false;
};

Block* block = nullptr;

// Shared memory ends at a guard.
constexpr size_t most_shared_ever = 227 << 10, page = 4096;
void* shared = nullptr;   // of `block`

void* take_shared(size_t bytes) {
  constexpr size_t room = (most_shared_ever + page - 1) / page * page;
  static char* const end = [] {
    void* range = mmap(nullptr, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (range == MAP_FAILED) std::abort();
    mprotect(static_cast<char*>(range) + room, page, PROT_NONE);
    return static_cast<char*>(range) + room;
  }();
  const size_t aligned = (bytes + 63) / 64 * 64;
  return std::memset(end - aligned, 0xff, aligned);
}

std::map<const void*, size_t>& shared_limits() {   // of kernels that asked for more than 48 KiB
  static auto* const limits = new std::map<const void*, size_t>;
  return *limits;
}

std::vector<std::unique_ptr<Fiber>>& idle_fibers() {
  static auto* const idle = new std::vector<std::unique_ptr<Fiber>>;
  return *idle;
}

Fiber* take_fiber() {
  auto& idle = idle_fibers();
  if (idle.empty()) return new Fiber;
  Fiber* const fiber = idle.back().release();
  idle.pop_back();
  return fiber;
}

void take_turn(unsigned number) {
  block->current = number;
  thread_index = {number % block_size.x, number / block_size.x % block_size.y, number / block_size.x / block_size.y};
  schedule.note(number);
}

// What a fiber does: a thread, and then those behind it in this pass that have not begun. As long as none of them waits, a
// block needs one fiber and no switches.
void run_threads(const std::function<void()>& body) {
  for (;;) {
    body();
    Thread& done = block->threads[block->current];
    Fiber* const self = std::exchange(done.fiber, nullptr);
    done.ended = true;
    ++block->ended;
    if (block->position + 1 == block->order.size()) return;
    Thread& next = block->threads[block->order[block->position + 1]];
    if (next.fiber || next.ended) return;
    next.fiber = self;
    take_turn(block->order[++block->position]);
  }
}

// Waits until the meeting's generation has passed; all that wait become ready when the last one arrives.
void wait(const char* what, Meeting& meeting, const Place& place, unsigned first, unsigned count) {
  Thread& self = block->threads[block->current];
  if (meeting.arrived > 0 && !same(meeting.place, place))
    fault(said("divergent ", what, ": some threads are at ", meeting.place, ", others at ", place));
  meeting.place = place;
  if (++meeting.arrived == meeting.expected) {
    meeting.arrived = 0;
    ++meeting.generation;
    for (unsigned i = first; i < first + count; ++i) {
      Thread& other = block->threads[i];
      if (other.waits && other.at == what) other.waits = false;
    }
    return;
  }
  self.waits = true;
  self.at = what;
  self.place = place;
  self.fiber->leave();
}

void run_block(const std::function<void()>& body) {
  const unsigned count = block_size.x * block_size.y * block_size.z;
  Block here;
  here.threads.resize(count);
  here.warps.resize((count + warp_size - 1) / warp_size);
  here.barrier.expected = count;
  here.order.resize(count);
  block = &here;
  const std::function<void()> threads = [&] { run_threads(body); };
  while (here.ended < count && !here.faulted) {
    bool moved = false;
    schedule.arrange(here.order);
    for (here.position = 0; here.position < count && !here.faulted; ++here.position) {
      Thread& thread = here.threads[here.order[here.position]];
      if (thread.ended || thread.waits) continue;
      if (!thread.fiber) {
        thread.fiber = take_fiber();
        thread.fiber->start(&threads);
      }
      Fiber* const fiber = thread.fiber;
      take_turn(here.order[here.position]);
      fiber->enter();
      moved = true;
      if (!here.faulted && fiber->ended()) idle_fibers().emplace_back(fiber);
    }
    if (moved || here.faulted) continue;
    const auto waiting = std::find_if(here.threads.begin(), here.threads.end(), [](const Thread& t) { return t.waits; });
    here.faulted = true;
    last_fault = said("divergent ", waiting->at, ": threads wait at ", waiting->place, " for others that ",
                      here.ended > 0 ? "have ended" : "are elsewhere");
  }
  for (Thread& thread : here.threads)
    if (thread.fiber) idle_fibers().emplace_back(thread.fiber);
  block = nullptr;
}

// A word of the arguments that is an address of the host: of a mapped page outside of the device's range.
bool has_host_address(const Argument& argument) {
  for (size_t place = 0; place + 8 <= argument.bytes; place += 8) {
    uintptr_t word;
    std::memcpy(&word, static_cast<const char*>(argument.data) + place, 8);
    const bool like_an_address = word >= 0x0000'5500'0000'0000u && word <= 0x0000'7fff'ffff'ffffu;
    if (!like_an_address || in_region(reinterpret_cast<void*>(word))) continue;
    if (msync(reinterpret_cast<void*>(word & ~uintptr_t{4095}), 4096, MS_ASYNC) == 0) return true;
  }
  return false;
}

cudaError_t failed(cudaError_t error, const std::string& message) {
  last_fault = message;
  return error;
}

}  // namespace

bool running() { return block != nullptr; }

void fault(std::string message) {
  message += " (block " + std::to_string(block_index.x) + ", thread " + std::to_string(block->current) + ')';
  std::string().swap(last_fault);   // or `message` would get its memory in exchange
  last_fault = std::move(message);
  block->faulted = true;
  block->threads[block->current].fiber->leave();
  __builtin_unreachable();
}

void* shared_memory() { return shared; }

unsigned lane() { return block->current % warp_size; }

void barrier(const Place& place) { wait("barrier", block->barrier, place, 0, static_cast<unsigned>(block->threads.size())); }

uint64_t exchange(unsigned mask, uint64_t value, unsigned from, const Place& place) {
  const unsigned warp = block->current / warp_size, self = lane(), first = warp * warp_size;
  Meeting& meeting = block->warps[warp];
  const auto in_mask = [&](unsigned l) { return l < warp_size && mask >> l & 1; };
  if (!in_mask(self)) fault(said("shuffle at ", place, ": lane ", self, " is not in its own mask"));
  if (!in_mask(from)) fault(said("shuffle at ", place, ": takes from lane ", from, ", outside of the mask"));
  if (meeting.arrived > 0 && meeting.mask != mask) fault(said("shuffle at ", place, ": lanes have different masks"));
  meeting.mask = mask;
  meeting.expected = static_cast<unsigned>(__builtin_popcount(mask));
  auto& values = meeting.values[meeting.generation % 2];
  values[self] = value;
  wait("shuffle", meeting, place, first, std::min<unsigned>(warp_size, static_cast<unsigned>(block->threads.size()) - first));
  return values[from];
}

cudaError_t run(const void* kernel, dim3 grid, dim3 size, size_t shared_bytes, std::initializer_list<Argument> arguments,
                const std::function<void()>& thread) {
  if (lost) return cudaErrorIllegalAddress;
  const uint64_t threads = uint64_t{size.x} * size.y * size.z;
  if (threads == 0 || threads > 1024 || size.z > 64)
    return failed(cudaErrorInvalidConfiguration, "a block of " + std::to_string(threads) + " threads: 1 to 1024 are allowed");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    return failed(cudaErrorInvalidConfiguration, "a grid beyond the limits");
  const auto allowed = shared_limits().find(kernel);
  const size_t most_shared = allowed == shared_limits().end() ? 48 << 10 : allowed->second;
  if (shared_bytes > most_shared)
    return failed(cudaErrorInvalidConfiguration,
                  std::to_string(shared_bytes) + " bytes of shared memory: at most " + std::to_string(most_shared));
  int number = 0;
  for (const Argument& argument : arguments) {
    if (has_host_address(argument))
      return failed(cudaErrorLaunchFailure, "argument " + std::to_string(number) + " of the kernel holds an address of the host");
    ++number;
  }
  last_fault.clear();
  ++launches_so_far;
  block_size = size;
  grid_size = grid;
  open_memory();
  std::vector<unsigned> order(grid.x);
  schedule.arrange(order);
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (const unsigned x : order) {
        if (!last_fault.empty()) break;
        block_index = {x, y, z};
        schedule.note(uint64_t{x} << 32);
        shared = take_shared(shared_bytes);
        run_block(thread);
      }
  close_memory();
  return last_fault.empty() ? cudaSuccess : cudaErrorLaunchFailure;
}

int64_t launches() { return launches_so_far; }

void set_schedule(Order order, uint64_t seed) {
  schedule.order = order;
  schedule.random.seed(seed);
}

void set_machine(int driver_version, int devices) {
  driver = driver_version;
  device_count = devices;
}

void set_lost(bool is_lost) {
  lost = is_lost;
  last_fault.clear();
}
bool is_lost() { return lost; }

uint64_t schedule_digest() { return schedule.digest; }

}  // namespace emulator

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value) {
  if (value < 0 || static_cast<size_t>(value) > emulator::most_shared_ever)
    return emulator::failed(cudaErrorInvalidValue, std::to_string(value) + " bytes of shared memory: at most " +
                                                       std::to_string(emulator::most_shared_ever));
  emulator::shared_limits()[kernel] = static_cast<size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = emulator::device_count;
  return *count > 0 ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaDriverGetVersion(int* version) { return *version = emulator::driver, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaStreamQuery(cudaStream_t) { return emulator::lost ? cudaErrorIllegalAddress : cudaSuccess; }

const char* cudaGetErrorString(cudaError_t error) {
  if (!emulator::last_fault.empty()) return emulator::last_fault.c_str();
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorIllegalAddress: return "an illegal memory access was encountered";
    case cudaErrorMemoryAllocation: return "out of memory";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected";
    default: return "invalid argument";
  }
}
