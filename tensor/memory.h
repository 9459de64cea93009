// Memory of a device as its arena takes it from the system, and copies between devices.
#pragma once
#include <cstdint>

#include "tensor/device.h"

namespace tapir {

void* take_from_system(Device device, int64_t bytes);   // null: there is none
void give_to_system(Device device, void* block) noexcept;
void fill_bytes(Device device, void* block, uint8_t value, int64_t bytes);

// After what the devices were told before, and before what they are told next. Bytes for the CPU are there when it returns;
// those from the CPU may change then.
void copy_bytes(Device to_device, void* to, Device from_device, const void* from, int64_t bytes);

}  // namespace tapir
