// The turns that blocks and threads take.
#include "emulator/block.h"

#include <algorithm>
#include <exception>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda_runtime.h"
#include "emulator/shared_memory.h"
#include "emulator/state.h"

uint3 threadIdx;
dim3 blockIdx, blockDim, gridDim;

namespace cuda_emulator {
namespace {

constexpr int kIdleRounds = 10000;  // of pauses only, before a wait counts as endless
constexpr int kPoison[] = {0xA5, 0x5A, 0xFF};

void thread_main() {
  Block& b = block();
  for (;;) {
    try {
      (*b.thread)();
    } catch (...) {
      b.error = std::current_exception();
    }
    Thread& self = b.threads[b.current];
    self.state = State::kEnded;
    self.fiber.leave();
  }
}

void enter(int index) {
  Block& b = block();
  b.current = index;
  threadIdx = {static_cast<unsigned>(index), 0, 0};
  b.threads[index].fiber.enter(thread_main);
  if (b.error) std::rethrow_exception(b.error);
  if (b.threads[index].state != State::kPaused) b.moved = true;
}

bool enter_if_ready(int index) {
  if (block().threads[index].state != State::kReady) return false;
  enter(index);
  return true;
}

// As far ahead of the other warps as the block's barriers let it.
void run_warp(int warp, bool backwards) {
  for (bool any = true; any;) {
    any = false;
    for (int i = 0; i < kWarp; ++i) {
      any |= enter_if_ready(warp * kWarp + (backwards ? kWarp - 1 - i : i));
    }
  }
}

void run_round() {
  Block& b = block();
  if (b.order == Order::kShuffled) {
    std::vector<int> order(b.size);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), b.random);
    for (int index : order) enter_if_ready(index);
    return;
  }
  const bool backwards = b.order == Order::kReversed;
  const int warps = b.size / kWarp;
  for (int i = 0; i < warps; ++i) run_warp(backwards ? warps - 1 - i : i, backwards);
}

// Lets the threads go on behind a barrier that all have reached.
void release_block() {
  Block& b = block();
  const auto begin = b.threads.begin();
  const auto end = begin + b.size;
  const Wait kind = begin->kind;
  if (!std::all_of(begin, end, [kind](const Thread& thread) {
        return thread.state == State::kAtBlock && thread.kind == kind;
      })) {
    throw std::runtime_error("a barrier is not reached by all threads: " + where_threads_are());
  }
  b.result = b.predicates;
  b.predicates = 0;
  std::for_each(begin, end, [](Thread& thread) { thread.state = State::kReady; });
}

void run_block() {
  Block& b = block();
  const auto begin = b.threads.begin();
  const auto end = begin + b.size;
  const auto any = [&](State state) {
    return std::any_of(begin, end, [state](const Thread& t) { return t.state == state; });
  };
  std::for_each(begin, end, [](Thread& thread) { thread.state = State::kReady; });
  for (Warp& warp : b.warps) warp = {};
  b.predicates = 0;
  for (int idle = 0; !std::all_of(begin, end, [](auto& t) { return t.state == State::kEnded; });) {
    b.moved = false;
    run_round();
    if (any(State::kPaused)) {
      idle = b.moved ? 0 : idle + 1;
      if (idle > kIdleRounds) throw std::runtime_error("threads wait for another block");
      std::for_each(begin, end, [](Thread& thread) {
        if (thread.state == State::kPaused) thread.state = State::kReady;
      });
    } else if (!any(State::kReady) &&
               !std::all_of(begin, end, [](auto& t) { return t.state == State::kEnded; })) {
      release_block();
    }
  }
}

std::vector<int64_t> blocks_in_order(int64_t blocks) {
  Block& b = block();
  std::vector<int64_t> order(blocks);
  std::iota(order.begin(), order.end(), 0);
  if (b.order == Order::kReversed) std::reverse(order.begin(), order.end());
  if (b.order == Order::kShuffled) std::shuffle(order.begin(), order.end(), b.random);
  return order;
}

int64_t launches = 0;  // so far

}  // namespace

void run(const char* op, int64_t blocks, int threads, const std::function<void()>& thread) {
  static std::mutex one_launch;
  const std::lock_guard<std::mutex> lock(one_launch);
  Block& b = block();
  const std::string name = std::string(op) + ": ";
  if (threads < kWarp || threads > kMaxThreads || threads % kWarp != 0) {
    throw std::runtime_error(name + std::to_string(threads) + " threads are no whole warps");
  }
  ++launches;
  b.size = threads;
  b.thread = &thread;
  gridDim = dim3(static_cast<unsigned>(blocks));
  blockDim = dim3(static_cast<unsigned>(threads));
  const SharedMemory memory = shared_memory();
  for (int64_t number : blocks_in_order(blocks)) {
    blockIdx = dim3(static_cast<unsigned>(number), 0, 0);
    memory.poison(kPoison[static_cast<int>(b.order)]);
    try {
      run_block();
    } catch (const std::exception& error) {
      for (Thread& one : b.threads) one.fiber.abandon();
      b.error = nullptr;
      throw std::runtime_error(name + "block " + std::to_string(number) + ": " + error.what());
    }
  }
}

}  // namespace cuda_emulator

// Chooses the order of blocks, and of the threads in them: "forward", "reversed" or "shuffled".
extern "C" int cuda_emulator_set_order(const char* order) {
  using cuda_emulator::Order;
  const std::string name = order;
  cuda_emulator::Block& b = cuda_emulator::block();
  b.random.seed(1);
  if (name == "forward") b.order = Order::kForward;
  if (name == "reversed") b.order = Order::kReversed;
  if (name == "shuffled") b.order = Order::kShuffled;
  return name == "forward" || name == "reversed" || name == "shuffled";
}

// How many kernels have been launched so far.
extern "C" int64_t cuda_emulator_launches() { return cuda_emulator::launches; }
