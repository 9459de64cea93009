// What tests set and read: in which order the threads of a block run, and what happened.
#pragma once
#include <cstdint>
#include <string>

namespace emulator {

enum class Order { ascending, descending, shuffled };

void set_schedule(Order order, uint64_t seed = 0);   // of threads and blocks, from the next launch on
uint64_t schedule_digest();                          // of every turn that a thread got so far
uint64_t read_digest();                              // of every byte that the host has copied from the device so far

int64_t launches();   // of kernels so far
int64_t waits();      // of the host for the device so far

void set_memory(int64_t bytes);   // of the device, in blocks that were taken and not given back; at first 64 GiB

void set_machine(int driver_version, int devices);   // at first 13000 (CUDA 13.0), which is the runtime's, and 1

// A kernel has broken the device: until it is found again launches, copies and new memory fail.
void set_lost(bool lost);

}  // namespace emulator
