#include "tests/emulator/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Saves what a function must keep, and the stack pointer; then the same backwards on the other stack.
extern "C" void tapir_switch_stack(void** from, void* to);
asm(R"(
.text
.globl tapir_switch_stack
.type tapir_switch_stack, @function
tapir_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size tapir_switch_stack, .-tapir_switch_stack
.section .note.GNU-stack,"",@progbits
.text
)");

namespace emulator {
namespace {

thread_local Fiber* entered = nullptr;

}  // namespace

// A page at the lower end that nobody may touch: a stack that grows too far is a fault and not a riddle.
Fiber::Fiber() : bytes_(256 << 10) {
  void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<char*>(memory);
  mprotect(memory_, static_cast<size_t>(getpagesize()), PROT_NONE);
}

Fiber::~Fiber() { munmap(memory_, bytes_); }

void Fiber::start(const std::function<void()>* body) {
  body_ = body;
  ended_ = false;
#ifdef __SANITIZE_ADDRESS__
  if (fake_stack_) fake_stack_ = nullptr;
  __asan_unpoison_memory_region(memory_ + getpagesize(), bytes_ - static_cast<size_t>(getpagesize()));
#endif
  uintptr_t top = reinterpret_cast<uintptr_t>(memory_ + bytes_) & ~uintptr_t{15};
  void** stack = reinterpret_cast<void**>(top) - 8;   // six registers, the address to return to, and its own (none)
  for (int i = 0; i < 8; ++i) stack[i] = nullptr;
  stack[6] = reinterpret_cast<void*>(&Fiber::begin);
  inside_ = stack;
}

void Fiber::begin() {
  Fiber* const self = entered;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, &self->outer_bottom_, &self->outer_bytes_);
#endif
  (*self->body_)();
  self->ended_ = true;
  self->leave();
}

void Fiber::enter() {
  Fiber* const before = entered;
  entered = this;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&outer_fake_stack_, memory_, bytes_);
#endif
  tapir_switch_stack(&outside_, inside_);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(outer_fake_stack_, nullptr, nullptr);
#endif
  entered = before;
}

void Fiber::leave() {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(ended_ ? nullptr : &fake_stack_, outer_bottom_, outer_bytes_);
#endif
  tapir_switch_stack(&inside_, outside_);
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(fake_stack_, &outer_bottom_, &outer_bytes_);
#endif
}

}  // namespace emulator
