// CUDA's vector types, with its alignments, and the position of a thread in the grid.
#pragma once

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

extern uint3 threadIdx;
extern dim3 blockIdx, blockDim, gridDim;
constexpr int warpSize = 32;

#define DSR_VECTOR_OF_2(name, scalar, bytes) \
  struct alignas(bytes) name {               \
    scalar x, y;                             \
  };                                         \
  inline name make_##name(scalar x, scalar y) { return {x, y}; }

#define DSR_VECTOR_OF_4(name, scalar, bytes) \
  struct alignas(bytes) name {               \
    scalar x, y, z, w;                       \
  };                                         \
  inline name make_##name(scalar x, scalar y, scalar z, scalar w) { return {x, y, z, w}; }

DSR_VECTOR_OF_2(ushort2, unsigned short, 4)
DSR_VECTOR_OF_2(int2, int, 8)
DSR_VECTOR_OF_2(uint2, unsigned, 8)
DSR_VECTOR_OF_2(float2, float, 8)
DSR_VECTOR_OF_2(longlong2, long long, 16)
DSR_VECTOR_OF_2(ulonglong2, unsigned long long, 16)
DSR_VECTOR_OF_2(double2, double, 16)
DSR_VECTOR_OF_4(ushort4, unsigned short, 8)
DSR_VECTOR_OF_4(int4, int, 16)
DSR_VECTOR_OF_4(uint4, unsigned, 16)
DSR_VECTOR_OF_4(float4, float, 16)

#undef DSR_VECTOR_OF_2
#undef DSR_VECTOR_OF_4
