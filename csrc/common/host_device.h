// Lets one header serve the host compiler and nvcc.
#pragma once

#ifdef __CUDACC__
#define DSR_HOST_DEVICE __host__ __device__
// For tables and their readers: in a .cu these are the kernels.
#define DSR_DEVICE __device__
#else
#define DSR_HOST_DEVICE
#define DSR_DEVICE
#endif
