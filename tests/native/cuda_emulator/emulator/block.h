// Runs a kernel's blocks on the CPU: every thread is a fiber, one block runs after another.
//
// Between barriers a fiber runs alone, in an order that the tests choose, so that a result which
// depends on a missing barrier changes with the order. The lanes of a warp are not in lockstep.
#pragma once

#include <cstdint>
#include <functional>

namespace cuda_emulator {

constexpr int kWarp = 32;
constexpr int kMaxThreads = 1024;

// Where a thread may wait.
enum class Wait { kBlock, kBlockOr, kBlockAnd, kBlockCount, kWarp, kShuffle, kVote, kReduce };

// Runs `thread` as every thread of every block. Throws std::runtime_error, naming `op`, where a
// barrier is not reached by all.
void run(const char* op, int64_t blocks, int threads, const std::function<void()>& thread);

// What threads call. A barrier of the block gives the sum of all predicates.
int wait_for_block(Wait kind, bool predicate);
// A barrier of the warp gives what each lane brought, until its next barrier.
const uint64_t* wait_for_warp(Wait kind, uint32_t lanes, uint64_t value);
// Lets the other threads of the block run first.
void pause();
// A place where, in the shuffled order, other threads may run first.
void maybe_pause();

}  // namespace cuda_emulator
