// DryRun: while one lives, loops and matrix products do nothing. Shapes, graph and memory are those of a real run, so what
// a training step will need is known in milliseconds and without its arithmetic. Values are undefined; index tensors, which
// are copied and not computed, keep theirs.
#pragma once
#include <cstdint>
#include <map>
#include <string>

#include "tensor/device.h"

namespace tapir {

class DryRun {
 public:
  DryRun();   // throws Error if one lives already
  ~DryRun() { current_ = nullptr; }
  DryRun(const DryRun&) = delete;
  DryRun& operator=(const DryRun&) = delete;

  static DryRun* current() { return current_; }   // null: loops run

  // Multiplications and additions of matrix products so far, 2·m·n·k each, by Scope::path().
  const std::map<std::string, int64_t>& operations() const { return operations_; }
  void count(int64_t operations);   // called by gemm

 private:
  static inline DryRun* current_ = nullptr;
  std::map<std::string, int64_t> operations_;
};

// A dry run that keeps nothing: what an arena has free is given back before it, so that the memory of now counts, and after it,
// since nobody has touched what it took. Tensors of the run must be gone by then.
class Rehearsal : public DryRun {
 public:
  explicit Rehearsal(Device device);
  ~Rehearsal();

 private:
  const Device device_;
};

}  // namespace tapir
