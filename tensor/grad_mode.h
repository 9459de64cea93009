// Whether ops record the graph that backward walks. On at first; per thread.
#pragma once

namespace tapir {

bool grad_enabled();

class GradMode {   // sets the mode while it lives
 public:
  explicit GradMode(bool on);
  ~GradMode();
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};

struct NoGrad : GradMode {
  NoGrad() : GradMode(false) {}
};

}  // namespace tapir
