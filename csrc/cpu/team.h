// How many threads a kernel uses, and which instruction sets its inner loops are compiled for.
#pragma once

#include <algorithm>
#include <cstdint>

// Before a function with plain loops: a second copy for AVX2, chosen when the module is loaded.
// The choice runs before a sanitizer is ready, and needs a C library that knows ifunc.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute) && \
    !defined(__SANITIZE_ADDRESS__)
#if __has_attribute(target_clones)
#define DSR_CLONES __attribute__((target_clones("default", "avx2")))
#endif
#endif
#ifndef DSR_CLONES
#define DSR_CLONES
#endif

// Before a template that such a function calls, so that it is compiled into both copies.
#if defined(__GNUC__)
#define DSR_ALWAYS_INLINE inline __attribute__((always_inline))
#else
#define DSR_ALWAYS_INLINE inline
#endif

namespace dsr::cpu {

// At most `threads`, and each with at least `work_per_thread` to do.
inline int team_size(int64_t work, int64_t work_per_thread, int threads) {
  const int64_t useful = std::max<int64_t>(1, work / work_per_thread);
  return static_cast<int>(std::min<int64_t>(std::max(threads, 1), useful));
}

}  // namespace dsr::cpu
