// The intrinsics of device code that kernels here may use: whole warps only.
#pragma once

#include <cstdint>
#include <cstring>

#include "emulator/block.h"
#include "emulator/vectors.h"

inline void __syncthreads() { cuda_emulator::wait_for_block(cuda_emulator::Wait::kBlock, false); }

inline int __syncthreads_or(int predicate) {
  using cuda_emulator::Wait;
  return cuda_emulator::wait_for_block(Wait::kBlockOr, predicate != 0) != 0;
}

inline int __syncthreads_and(int predicate) {
  using cuda_emulator::Wait;
  return cuda_emulator::wait_for_block(Wait::kBlockAnd, predicate == 0) == 0;
}

inline int __syncthreads_count(int predicate) {
  using cuda_emulator::Wait;
  return cuda_emulator::wait_for_block(Wait::kBlockCount, predicate != 0);
}

inline void __syncwarp(unsigned lanes = 0xFFFFFFFFu) {
  cuda_emulator::wait_for_warp(cuda_emulator::Wait::kWarp, lanes, 0);
}

namespace cuda_emulator {

inline int lane() { return static_cast<int>(threadIdx.x % kWarp); }

template <typename T>
T value_of_lane(const uint64_t* values, int lane) {
  T value;
  std::memcpy(&value, &values[lane], sizeof(value));
  return value;
}

// Every lane brings `value` and takes that of lane `source`, or keeps its own where `source` lies
// outside its part of the warp.
template <typename T, typename Source>
T shuffle(unsigned lanes, T value, int width, Source source) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves 4 or 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(value));
  const int self = lane();
  const int first = self / width * width;
  const uint64_t* values = wait_for_warp(Wait::kShuffle, lanes, bits);
  const int from = source(self - first);
  return value_of_lane<T>(values, from < 0 || from >= width ? self : first + from);
}

template <typename T, typename Combine>
T reduce(unsigned lanes, T value, Combine combine) {
  static_assert(sizeof(T) == 4, "a warp reduces 4 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(value));
  const uint64_t* values = wait_for_warp(Wait::kReduce, lanes, bits);
  T result = value_of_lane<T>(values, 0);
  for (int i = 1; i < kWarp; ++i) result = combine(result, value_of_lane<T>(values, i));
  return result;
}

inline unsigned vote(unsigned lanes, int predicate) {
  const uint64_t* values = wait_for_warp(Wait::kVote, lanes, predicate != 0);
  unsigned bits = 0;
  for (int i = 0; i < kWarp; ++i) bits |= static_cast<unsigned>(values[i]) << i;
  return bits;
}

}  // namespace cuda_emulator

template <typename T>
T __shfl_sync(unsigned lanes, T value, int source, int width = 32) {
  return cuda_emulator::shuffle(lanes, value, width, [=](int) { return source & (width - 1); });
}

template <typename T>
T __shfl_xor_sync(unsigned lanes, T value, int bits, int width = 32) {
  return cuda_emulator::shuffle(lanes, value, width, [=](int self) { return self ^ bits; });
}

template <typename T>
T __shfl_down_sync(unsigned lanes, T value, unsigned by, int width = 32) {
  const int down = static_cast<int>(by);
  return cuda_emulator::shuffle(lanes, value, width, [=](int self) { return self + down; });
}

template <typename T>
T __shfl_up_sync(unsigned lanes, T value, unsigned by, int width = 32) {
  const int up = static_cast<int>(by);
  return cuda_emulator::shuffle(lanes, value, width, [=](int self) { return self - up; });
}

inline unsigned __ballot_sync(unsigned lanes, int predicate) {
  return cuda_emulator::vote(lanes, predicate);
}
inline int __any_sync(unsigned lanes, int predicate) {
  return cuda_emulator::vote(lanes, predicate) != 0;
}
inline int __all_sync(unsigned lanes, int predicate) {
  return cuda_emulator::vote(lanes, predicate) == 0xFFFFFFFFu;
}

// For int and unsigned, whose order differs.
template <typename T>
T __reduce_add_sync(unsigned lanes, T value) {
  return cuda_emulator::reduce(lanes, value, [](T a, T b) { return static_cast<T>(a + b); });
}
template <typename T>
T __reduce_max_sync(unsigned lanes, T value) {
  return cuda_emulator::reduce(lanes, value, [](T a, T b) { return a > b ? a : b; });
}
template <typename T>
T __reduce_min_sync(unsigned lanes, T value) {
  return cuda_emulator::reduce(lanes, value, [](T a, T b) { return a < b ? a : b; });
}
inline unsigned __reduce_or_sync(unsigned lanes, unsigned value) {
  return cuda_emulator::reduce(lanes, value, [](unsigned a, unsigned b) { return a | b; });
}
inline unsigned __reduce_and_sync(unsigned lanes, unsigned value) {
  return cuda_emulator::reduce(lanes, value, [](unsigned a, unsigned b) { return a & b; });
}

inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline int __popcll(unsigned long long value) { return __builtin_popcountll(value); }
inline int __ffs(int value) { return __builtin_ffs(value); }
inline int __ffsll(long long value) { return __builtin_ffsll(value); }
inline int __clz(int value) {
  return value == 0 ? 32 : __builtin_clz(static_cast<unsigned>(value));
}
inline int __clzll(long long value) {
  return value == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(value));
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((static_cast<uint64_t>(high) << 32 | low) >> (shift & 31));
}

inline void __threadfence() { asm volatile("" ::: "memory"); }
inline void __threadfence_block() { asm volatile("" ::: "memory"); }
inline void __nanosleep(unsigned) { cuda_emulator::pause(); }

// Loads and stores through a certain cache; here memory has no caches, but it does change.
template <typename T>
T __ldg(const T* pointer) {
  return *pointer;
}
template <typename T>
T __ldcg(const T* pointer) {
  asm volatile("" ::: "memory");
  return *pointer;
}
template <typename T>
T __ldcs(const T* pointer) {
  return *pointer;
}
template <typename T>
void __stcg(T* pointer, T value) {
  *pointer = value;
}
template <typename T>
void __stcs(T* pointer, T value) {
  *pointer = value;
}
