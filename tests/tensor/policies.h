// What holds for the whole process, set while an object lives.
#pragma once
#include "tensor/device.h"
#include "tensor/precision.h"

namespace tapir {

struct OnDevice {   // new tensors
  explicit OnDevice(Device device) : before(default_device()) { set_default_device(device); }
  ~OnDevice() { set_default_device(before); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  Device before;
};

struct InPrecision {   // matrix products
  explicit InPrecision(Precision now) : before(precision()) { set_precision(now); }
  ~InPrecision() { set_precision(before); }
  InPrecision(const InPrecision&) = delete;
  InPrecision& operator=(const InPrecision&) = delete;
  Precision before;
};

}  // namespace tapir
