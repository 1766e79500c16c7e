// Lets one header serve the host compiler and nvcc.
#pragma once

#ifdef __CUDACC__
#define DSR_HOST_DEVICE __host__ __device__
#else
#define DSR_HOST_DEVICE
#endif
