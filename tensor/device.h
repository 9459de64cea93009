// Where a tensor's bytes are.
#pragma once
#include <cstdint>
#include <ostream>

namespace tapir {

enum class Device : uint8_t { cpu, cuda };

constexpr const char* name_of(Device device) { return device == Device::cpu ? "cpu" : "cuda"; }

inline std::ostream& operator<<(std::ostream& out, Device device) { return out << name_of(device); }

// Where new tensors go unless they are told: the CPU at first. Throws Error where this build or machine has no such device.
void set_default_device(Device device);
Device default_device();

}  // namespace tapir
