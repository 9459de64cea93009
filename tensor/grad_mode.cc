#include "tensor/grad_mode.h"

namespace tapir {
namespace {

bool& mode() {
  thread_local bool on = true;
  return on;
}

}  // namespace

bool grad_enabled() { return mode(); }

GradMode::GradMode(bool on) : before_(mode()) { mode() = on; }

GradMode::~GradMode() { mode() = before_; }

}  // namespace tapir
