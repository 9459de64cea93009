#include "tensor/dry_run.h"

#include "tensor/error.h"

namespace tapir {

DryRun::DryRun() {
  require(!current_, "dry run", [] { return "there is one already"; });
  current_ = this;
}

void DryRun::count(int64_t operations) { operations_[Scope::path()] += operations; }

}  // namespace tapir
