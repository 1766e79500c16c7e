// Where the threads of a block meet.
#include <cstdlib>
#include <iterator>
#include <stdexcept>

#include "emulator/state.h"

namespace cuda_emulator {
namespace {

const char* const kNames[] = {
    "__syncthreads", "__syncthreads_or", "__syncthreads_and", "__syncthreads_count", "__syncwarp",
    "a shuffle",     "a vote",           "a warp reduction"};

[[noreturn]] void fail(const std::string& text) {
  Block& b = block();
  b.error = std::make_exception_ptr(std::runtime_error(text));
  b.threads[b.current].fiber.leave();
  std::abort();  // a failed block is never entered again
}

}  // namespace

std::string where_threads_are() {
  Block& b = block();
  std::string text;
  int ended = 0;
  int counts[std::size(kNames)] = {};
  for (int i = 0; i < b.size; ++i) {
    const Thread& thread = b.threads[i];
    if (thread.state == State::kEnded) {
      ++ended;
    } else {
      ++counts[static_cast<int>(thread.kind)];
    }
  }
  for (size_t kind = 0; kind < std::size(kNames); ++kind) {
    if (counts[kind]) text += std::to_string(counts[kind]) + " wait at " + kNames[kind] + ", ";
  }
  return text + std::to_string(ended) + " have ended";
}

int wait_for_block(Wait kind, bool predicate) {
  Block& b = block();
  Thread& self = b.threads[b.current];
  b.predicates += predicate;
  self.kind = kind;
  self.state = State::kAtBlock;
  self.fiber.leave();
  return b.result;
}

const uint64_t* wait_for_warp(Wait kind, uint32_t lanes, uint64_t value) {
  Block& b = block();
  if (lanes != 0xFFFFFFFFu) fail("a warp intrinsic is not called for all lanes");
  const int self = b.current;
  const int first = self / kWarp * kWarp;
  Warp& warp = b.warps[self / kWarp];
  uint64_t* values = warp.values[warp.turn];
  values[self - first] = value;
  b.threads[self].kind = kind;
  b.threads[self].state = State::kAtWarp;
  if (++warp.waiting < kWarp) {
    b.threads[self].fiber.leave();
    return values;
  }
  for (int i = first; i < first + kWarp; ++i) {
    if (b.threads[i].kind != kind) {
      fail("the lanes of a warp meet at different intrinsics: " + where_threads_are());
    }
    b.threads[i].state = State::kReady;
  }
  warp.waiting = 0;
  warp.turn ^= 1;
  return values;
}

void pause() {
  Block& b = block();
  Thread& self = b.threads[b.current];
  self.state = State::kPaused;
  self.fiber.leave();
}

void maybe_pause() {
  Block& b = block();
  if (b.order != Order::kShuffled || b.random() % 8 != 0) return;
  b.threads[b.current].fiber.leave();
}

}  // namespace cuda_emulator
