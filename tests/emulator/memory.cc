// The device's memory: one range of addresses, which nobody may touch but launches and copies.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

#include "tests/emulator/cuda_runtime.h"
#include "tests/emulator/emulator.h"
#include "tests/emulator/state.h"

namespace emulator {
namespace {

constexpr size_t capacity = size_t{1} << 36, page = 4096, huge_page = size_t{2} << 20;
constexpr size_t most_guarded = 8;   // blocks: each guard makes every launch slower

// Blocks side by side in huge pages, so that opening and closing them is quick. The first ones lie apart, each in pages of
// its own with a guard behind: a page of a file that has none.
struct Memory {
  char *begin, *guarded_end, *end;                     // guarded blocks, the others, what was not handed out yet
  std::map<char*, size_t> blocks;                      // address → bytes
  std::map<size_t, std::vector<char*>> spare;          // by bytes
  int empty_file, open = 0;

  Memory() {
    void* range = mmap(nullptr, capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    empty_file = memfd_create("guard", 0);
    if (range == MAP_FAILED || empty_file < 0) std::abort();
    const auto aligned = (reinterpret_cast<uintptr_t>(range) + huge_page - 1) / huge_page * huge_page;
    begin = guarded_end = reinterpret_cast<char*>(aligned);
    end = first_unguarded();
    madvise(end, capacity - 2 * huge_page, MADV_HUGEPAGE);   // advice only
    struct sigaction action {};
    action.sa_sigaction = [](int number, siginfo_t* info, void*) { touched(number, info->si_addr); };
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, nullptr);
    sigaction(SIGBUS, &action, nullptr);
  }

  char* first_unguarded() const { return begin + huge_page; }

  static void touched(int signal_number, void* address);
};

Memory& memory() {
  static Memory* const all = new Memory;
  return *all;
}

void protect(char* from, char* to, size_t unit, bool open) {
  const size_t bytes = (static_cast<size_t>(to - from) + unit - 1) / unit * unit;
  if (bytes > 0) mprotect(from, bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void protect(bool open) {
  auto& all = memory();
  protect(all.begin, all.guarded_end, page, open);
  protect(all.first_unguarded(), all.end, huge_page, open);
}

uint64_t digest_of_reads = 14695981039346656037u;

void note_read(const void* data, size_t bytes) {
  for (size_t place = 0; place < bytes; place += 8) {
    uint64_t word = 0;
    std::memcpy(&word, static_cast<const char*>(data) + place, std::min<size_t>(8, bytes - place));
    digest_of_reads = (digest_of_reads ^ word) * 1099511628211u;
    digest_of_reads ^= digest_of_reads >> 32;   // high bits count too
  }
}

void Memory::touched(int signal_number, void* address) {
  if (running())
    fault(in_region(address) ? "touches the device's memory behind the end of a block"
                             : "touches an address that is not the device's");
  if (in_region(address)) std::fputs("the host touches device memory: copy it, with to(Device::cpu) or values()\n", stderr);
  signal(signal_number, SIG_DFL);   // the instruction runs again and ends the process
}

// Copies to the device that nobody has needed yet.
struct PutOff {
  void* to;
  const void* from;
  size_t bytes;
};
std::vector<PutOff> put_off;
int64_t copies_done = 0, waits_so_far = 0;
size_t taken = 0, most_taken = capacity;   // bytes

}  // namespace

bool in_region(const void* address) {
  const char* place = static_cast<const char*>(address);
  return place >= memory().begin && place < memory().begin + capacity;
}

int64_t waits() { return waits_so_far; }

void set_memory(int64_t bytes) { most_taken = static_cast<size_t>(bytes); }

void open_memory() {
  if (memory().open++ > 0) return;
  protect(true);
  for (const PutOff& copy : put_off) std::memcpy(copy.to, copy.from, copy.bytes);
  copies_done += static_cast<int64_t>(put_off.size());
  put_off.clear();
}

void close_memory() {
  if (--memory().open == 0) protect(false);
}

uint64_t read_digest() { return digest_of_reads; }

}  // namespace emulator

using emulator::memory;

cudaError_t cudaMalloc(void** block, size_t bytes) {
  if (emulator::is_lost()) return cudaErrorIllegalAddress;
  auto& all = memory();
  const size_t size = std::max<size_t>(64, (bytes + 63) / 64 * 64), pages = (size + emulator::page - 1) / emulator::page;
  if (emulator::taken + size > emulator::most_taken) return cudaErrorMemoryAllocation;
  auto& spare = all.spare[size];
  char* address = all.end;
  if (!spare.empty()) {
    address = spare.back();
    spare.pop_back();
  } else if (all.blocks.size() < emulator::most_guarded && pages < 32) {
    all.guarded_end += (pages + 1) * emulator::page;
    char* const guard = all.guarded_end - emulator::page;
    mmap(guard, emulator::page, PROT_NONE, MAP_SHARED | MAP_FIXED, all.empty_file, 0);
    address = guard - size;
  } else {
    if (static_cast<size_t>(all.end - all.begin) + size > emulator::capacity - 2 * emulator::huge_page)
      return cudaErrorMemoryAllocation;
    all.end += size;
  }
  all.blocks[address] = size;
  emulator::taken += size;
  *block = address;
  return cudaSuccess;
}

cudaError_t cudaFree(void* block) {
  if (!block) return cudaSuccess;
  auto& all = memory();
  const auto found = all.blocks.find(static_cast<char*>(block));
  if (found == all.blocks.end()) return cudaErrorInvalidValue;
  all.spare[found->second].push_back(found->first);
  emulator::taken -= found->second;
  all.blocks.erase(found);
  return cudaSuccess;
}

cudaError_t cudaMemset(void* block, int value, size_t bytes) {
  if (bytes > 0 && !emulator::in_region(block)) return cudaErrorInvalidValue;
  emulator::open_memory();
  if (bytes > 0) std::memset(block, value, bytes);
  emulator::close_memory();
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  if (emulator::is_lost()) return cudaErrorIllegalAddress;
  if (!emulator::in_region(to) || !emulator::in_region(from)) ++emulator::waits_so_far;
  emulator::open_memory();
  if (bytes > 0) std::memcpy(to, from, bytes);
  if (emulator::in_region(from) && !emulator::in_region(to)) emulator::note_read(to, bytes);
  emulator::close_memory();
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  if (!emulator::in_region(to) || emulator::in_region(from)) return cudaErrorInvalidValue;
  emulator::put_off.push_back({to, from, bytes});
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** block, size_t bytes) {
  *block = std::aligned_alloc(emulator::page, (bytes + emulator::page - 1) / emulator::page * emulator::page);
  return *block ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFreeHost(void* block) { return std::free(block), cudaSuccess; }

struct CUevent_st {
  int64_t copies = 0;   // that come before it
};

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return *event = new CUevent_st, cudaSuccess; }

cudaError_t cudaEventDestroy(cudaEvent_t event) { return delete event, cudaSuccess; }

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  event->copies = emulator::copies_done + static_cast<int64_t>(emulator::put_off.size());
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->copies <= emulator::copies_done) return cudaSuccess;
  ++emulator::waits_so_far;
  emulator::open_memory();
  emulator::close_memory();
  return cudaSuccess;
}
