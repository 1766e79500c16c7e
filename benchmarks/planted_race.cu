// A kernel whose threads read what others write in shared memory, without a barrier between, for
// compute-sanitizer's racecheck to catch.
#include <cstdio>

__global__ void reverse(int* data) {
  __shared__ int values[256];
  const int t = threadIdx.x;
  values[t] = data[t];
  data[t] = values[255 - t];
}

int main() {
  int* data = nullptr;
  if (cudaMalloc(&data, 256 * sizeof(int)) != cudaSuccess) return 1;
  cudaMemset(data, 0, 256 * sizeof(int));
  reverse<<<1, 256>>>(data);
  const cudaError_t error = cudaDeviceSynchronize();
  std::printf("%s\n", cudaGetErrorString(error));
  cudaFree(data);
  return error == cudaSuccess ? 0 : 1;
}
