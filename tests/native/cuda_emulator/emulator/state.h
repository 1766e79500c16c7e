// The block that is running, and where its threads are.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "emulator/block.h"
#include "emulator/fiber.h"

namespace cuda_emulator {

enum class Order { kForward, kReversed, kShuffled };
enum class State { kReady, kPaused, kAtBlock, kAtWarp, kEnded };

struct Thread {
  Fiber fiber;
  State state = State::kEnded;
  Wait kind = Wait::kBlock;
};

// What the lanes bring to a barrier. A lane may be one barrier ahead of another that has yet to
// read, so values are kept twice.
struct Warp {
  uint64_t values[2][kWarp];
  int turn;
  int waiting;
};

struct Block {
  std::vector<Thread> threads{kMaxThreads};
  Warp warps[kMaxThreads / kWarp];
  int size = 0;
  int current = 0;
  int predicates = 0;  // of the barrier now forming
  int result = 0;      // of the last one
  bool moved = false;  // a thread did more than pause in this round
  Order order = Order::kForward;
  std::mt19937 random{1};
  const std::function<void()>* thread = nullptr;
  std::exception_ptr error;
};

inline Block& block() {
  static Block the_block;
  return the_block;
}

// How many threads wait where, in words.
std::string where_threads_are();

}  // namespace cuda_emulator
