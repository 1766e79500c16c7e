// Atomics, for the types that CUDA has them for. Floats are left out: no kernel here may use them.
#pragma once

#include "emulator/block.h"

#define DSR_ATOMIC(name, type, result)          \
  inline type name(type* address, type value) { \
    cuda_emulator::maybe_pause();               \
    volatile type* const at = address;          \
    const type old = *at;                       \
    *at = result;                               \
    return old;                                 \
  }

#define DSR_ATOMIC_32(name, result) \
  DSR_ATOMIC(name, int, result)     \
  DSR_ATOMIC(name, unsigned, result)

#define DSR_ATOMIC_64(name, result) \
  DSR_ATOMIC_32(name, result)       \
  DSR_ATOMIC(name, unsigned long long, result)

DSR_ATOMIC_64(atomicAdd, old + value)
DSR_ATOMIC_64(atomicExch, value)
DSR_ATOMIC_64(atomicAnd, old& value)
DSR_ATOMIC_64(atomicOr, old | value)
DSR_ATOMIC_64(atomicXor, old ^ value)
DSR_ATOMIC_64(atomicMax, old > value ? old : value)
DSR_ATOMIC_64(atomicMin, old < value ? old : value)
DSR_ATOMIC(atomicMax, long long, old > value ? old : value)
DSR_ATOMIC(atomicMin, long long, old < value ? old : value)
DSR_ATOMIC_32(atomicSub, old - value)
DSR_ATOMIC(atomicInc, unsigned, old >= value ? 0 : old + 1)

#undef DSR_ATOMIC
#undef DSR_ATOMIC_32
#undef DSR_ATOMIC_64

#define DSR_ATOMIC_CAS(type)                                       \
  inline type atomicCAS(type* address, type compare, type value) { \
    cuda_emulator::maybe_pause();                                  \
    volatile type* const at = address;                             \
    const type old = *at;                                          \
    if (old == compare) *at = value;                               \
    return old;                                                    \
  }

DSR_ATOMIC_CAS(int)
DSR_ATOMIC_CAS(unsigned)
DSR_ATOMIC_CAS(unsigned long long)

#undef DSR_ATOMIC_CAS
