// Memory of the device for a check of kernels.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace longspan::cuda {

// Ends the program where a call failed.
inline void Require(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::printf("FAIL %s: %s (%s)\n", what, cudaGetErrorString(error), cudaGetErrorName(error));
  std::exit(1);
}

// Memory of the device, poisoned with bytes that are NaN in every type.
class Device {
 public:
  explicit Device(size_t bytes) : bytes_(bytes) {
    Require(cudaMalloc(&memory_, std::max<size_t>(bytes, 16)), "cudaMalloc");
    Require(cudaMemset(memory_, 0xff, bytes), "cudaMemset");
  }
  template <typename T>
  explicit Device(const std::vector<T>& values) : Device(values.size() * sizeof(T)) {
    Require(cudaMemcpy(memory_, values.data(), bytes_, cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  ~Device() { cudaFree(memory_); }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  template <typename T>
  T* as() const {
    return static_cast<T*>(memory_);
  }
  void* get() const { return memory_; }
  template <typename T>
  std::vector<T> Read() const {
    std::vector<T> values(bytes_ / sizeof(T));
    Require(cudaMemcpy(values.data(), memory_, bytes_, cudaMemcpyDeviceToHost), "a kernel");
    return values;
  }

 private:
  void* memory_ = nullptr;
  size_t bytes_;
};

}  // namespace longspan::cuda
