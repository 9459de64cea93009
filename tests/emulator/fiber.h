// A fiber: a function with a stack of its own, entered and left by hand. x86-64.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>

namespace emulator {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  void start(const std::function<void()>* body);   // the next enter() begins it; what ran before is forgotten
  void enter();                                     // runs it until it leaves or ends
  void leave();                                     // called inside: back to whoever entered
  bool ended() const { return ended_; }

 private:
  static void begin();

  char* memory_;
  size_t bytes_;
  void *inside_ = nullptr, *outside_ = nullptr;      // saved stack pointers
  const std::function<void()>* body_ = nullptr;
  bool ended_ = true;
  void* fake_stack_ = nullptr;                       // of the address sanitizer
  void* outer_fake_stack_ = nullptr;
  const void* outer_bottom_ = nullptr;
  size_t outer_bytes_ = 0;
};

}  // namespace emulator
