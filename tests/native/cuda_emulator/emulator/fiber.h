// Threads of execution that take turns: a stack each, no kernel, no locks.
#pragma once

#include <sys/mman.h>
#include <ucontext.h>

#include <cstddef>
#include <new>

namespace cuda_emulator {

constexpr size_t kStackBytes = 256 * 1024;

// A context switch of the C library saves signal masks, two system calls: it only starts a fiber,
// and the compiler's own jumps switch from then on. Those must not be inlined.
class Fiber {
 public:
  // Goes on with the fiber until it calls leave(); begins with main() the first time.
  [[gnu::noinline]] void enter(void (*main)()) {
    if (__builtin_setjmp(outside_) != 0) return;
    if (started_) __builtin_longjmp(inside_, 1);
    started_ = true;
    begin(main);
  }

  [[gnu::noinline]] void leave() {
    if (__builtin_setjmp(inside_) == 0) __builtin_longjmp(outside_, 1);
  }

  // The next enter() begins anew; what lies on the stack is forgotten.
  void abandon() { started_ = false; }

 private:
  void begin(void (*main)()) {
    if (stack_ == nullptr) {
      const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
      stack_ = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, flags, -1, 0);
      if (stack_ == MAP_FAILED) throw std::bad_alloc();
    }
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = stack_;
    context.uc_stack.ss_size = kStackBytes;
    context.uc_link = nullptr;
    makecontext(&context, main, 0);
    setcontext(&context);
  }

  void* inside_[5];
  void* outside_[5];
  void* stack_ = nullptr;
  bool started_ = false;
};

}  // namespace cuda_emulator
