#include "tensor/device.h"

#include "tensor/cuda.h"

namespace tapir {
namespace {

Device current = Device::cpu;

}  // namespace

void set_default_device(Device device) {
  if (device == Device::cuda) cuda::require_device();
  current = device;
}

Device default_device() { return current; }

}  // namespace tapir
