// __shared__ arrays are thread_local variables here: those of one library lie together in memory,
// wherever they are declared, templates included.
#pragma once

#include <link.h>

#include <cstddef>
#include <cstring>
#include <stdexcept>

namespace cuda_emulator {

struct SharedMemory {
  void* data = nullptr;
  size_t bytes = 0;

  // A kernel that reads what it has not written must not find zeros, nor its last block's values.
  void poison(int byte) const { std::memset(data, byte, bytes); }
};

inline thread_local char shared_memory_anchor;  // the storage is made on its first use

inline int find_shared_memory(dl_phdr_info* info, size_t, void* result) {
  const char* anchor = &shared_memory_anchor;
  const char* begin = static_cast<const char*>(info->dlpi_tls_data);
  for (int i = 0; i < info->dlpi_phnum && begin != nullptr; ++i) {
    const auto& header = info->dlpi_phdr[i];
    if (header.p_type != PT_TLS) continue;
    if (anchor < begin || anchor >= begin + header.p_memsz) continue;
    *static_cast<SharedMemory*>(result) = {info->dlpi_tls_data, header.p_memsz};
    return 1;
  }
  return 0;
}

// The calling thread's shared arrays of all kernels in this library.
inline SharedMemory shared_memory() {
  volatile char* anchor = &shared_memory_anchor;
  *anchor = 0;
  SharedMemory found;
  if (dl_iterate_phdr(find_shared_memory, &found) == 0) {
    throw std::logic_error("the emulator does not find its thread-local storage");
  }
  return found;
}

}  // namespace cuda_emulator
