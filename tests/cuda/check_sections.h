// What the sections of cuda_kernels_check share: the sections themselves, and how they compare and
// measure.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "core/cuda/kernels/kernels.h"
#include "tests/cuda/device_memory.h"
#include "tests/cuda/host_values.h"

namespace longspan::cuda {

// Each compares a kernel with loops over shapes that reach each of its branches, and measures it.
void CheckBandAttention(std::mt19937& random, Storage storage);  // compute capability 9.0
void MeasureBandAttention(const Device& values, const Device& out);
void CheckRowKernels(std::mt19937& random, Storage storage);
void MeasureRowKernels(const Device& values, const Device& out);
void CheckGlobalColumns(std::mt19937& random, Storage storage);
void MeasureGlobalColumns(const Device& values, const Device& out);
void CheckSegmentReduce(std::mt19937& random);
void MeasureSegmentReduce(const Device& values);

// What is measured: so many tokens, [kTokens, 3072] bfloat16 values in and [kTokens, 768] out.
inline constexpr int kTokens = 65'536, kHeads = 12, kHeadSize = 64, kWidth = 768;

inline int failures = 0;

inline const char* NameOf(Storage storage) {
  return storage == Storage::kBfloat16 ? "bf16" : "fp16";
}
// What rounding the result alone may cost, relative to the norm, with room for inputs that are
// rounded on the way (the weights of values).
inline double ToleranceOf(Storage storage) { return storage == Storage::kBfloat16 ? 5e-3 : 7e-4; }

// |got - want| / |want|; NaN where a value was not written. Of zeros, |got|.
inline double RelativeError(const std::vector<uint16_t>& got, const std::vector<double>& want,
                            Storage storage) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double d = FromStorage(got[i], storage) - want[i];
    difference += d * d;
    norm += want[i] * want[i];
  }
  return std::sqrt(difference / (norm > 0 ? norm : 1));
}

inline void Report(const std::string& what, double error, double tolerance) {
  const bool passed = error <= tolerance;  // not for NaN
  if (!passed) ++failures;
  std::printf("%s %s: %.1e (at most %.1e)\n", passed ? "PASS" : "FAIL", what.c_str(), error,
              tolerance);
}

// The larger of both, or NaN.
inline double LargerError(double a, double b) { return std::isnan(b) || b > a ? b : a; }

inline std::vector<int> Every(int step, int length) {
  std::vector<int> positions;
  for (int i = 0; i < length; i += step) positions.push_back(i);
  return positions;
}

// First rows of the texts, and the number of all rows.
inline std::vector<int> BeginsOf(const std::vector<int>& lengths) {
  std::vector<int> begins = {0};
  for (const int length : lengths) begins.push_back(begins.back() + length);
  return begins;
}

// Median seconds of `run`, by the device's events.
inline double Seconds(const std::function<void()>& run) {
  cudaEvent_t begin, end;
  Require(cudaEventCreate(&begin), "cudaEventCreate");
  Require(cudaEventCreate(&end), "cudaEventCreate");
  std::vector<float> times(20);
  for (int i = 0; i < 3; ++i) run();
  for (float& time : times) {
    Require(cudaEventRecord(begin), "cudaEventRecord");
    run();
    Require(cudaEventRecord(end), "cudaEventRecord");
    Require(cudaEventSynchronize(end), "a kernel");
    Require(cudaEventElapsedTime(&time, begin, end), "cudaEventElapsedTime");
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::sort(times.begin(), times.end());
  return times[times.size() / 2] * 1e-3;
}

}  // namespace longspan::cuda
