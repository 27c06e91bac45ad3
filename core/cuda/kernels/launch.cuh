// What the launchers of kernels share.
#pragma once

#ifndef LONGSPAN_CUDA_EMULATION
#include <cuda_runtime.h>
#endif

#include <atomic>
#include <cstdint>
#include <type_traits>

namespace longspan::cuda {

inline bool IsAligned(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % 16 == 0;
}
template <typename... Pointers>
bool AreAligned(Pointers... pointers) {
  return (IsAligned(pointers) && ...);
}

// Of the current device.
inline int NumMultiprocessors() {
  int device = 0, count = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  return count > 0 ? count : 1;
}

// Lets the kernel have `bytes` of shared memory on the current device. That is asked for once a
// device, because each time costs about a microsecond.
template <auto kKernel>
cudaError_t AllowShared(int bytes) {
  static std::atomic<uint64_t> allowed{0};  // a bit for each of the first 64 devices
  int device = 0;
  if (const cudaError_t error = cudaGetDevice(&device); error != cudaSuccess) return error;
  const uint64_t bit = device < 64 ? uint64_t{1} << device : 0;
  if ((allowed.load(std::memory_order_relaxed) & bit) != 0) return cudaSuccess;
  cudaError_t error =
      cudaFuncSetAttribute(kKernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  error = cudaFuncSetAttribute(kKernel, cudaFuncAttributePreferredSharedMemoryCarveout, 100);
  if (error != cudaSuccess) return error;
  allowed.fetch_or(bit, std::memory_order_relaxed);
  return cudaSuccess;
}

template <typename... Params, typename... Args>
cudaError_t Launch(void (*kernel)(Params...), dim3 grid, int threads, int shared_bytes,
                   cudaStream_t stream, Args... args) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, args...);
}

// Calls run(std::integral_constant<int, head_size>()) for the head sizes that the kernels are
// compiled for.
template <typename Run>
cudaError_t WithHeadSize(int32_t head_size, Run run) {
  switch (head_size) {
    case 32:
      return run(std::integral_constant<int, 32>());
    case 64:
      return run(std::integral_constant<int, 64>());
    case 128:
      return run(std::integral_constant<int, 128>());
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace longspan::cuda
