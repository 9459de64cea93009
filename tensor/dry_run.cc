#include "tensor/dry_run.h"

#include "tensor/arena.h"
#include "tensor/error.h"

namespace tapir {

DryRun::DryRun() {
  require(!current_, "dry run", [] { return "there is one already"; });
  current_ = this;
}

void DryRun::count(int64_t operations) { operations_[Scope::path()] += operations; }

Rehearsal::Rehearsal(Device device) : device_(device) { Arena::of(device_).release_cache(); }

Rehearsal::~Rehearsal() { Arena::of(device_).release_cache(); }

}  // namespace tapir
