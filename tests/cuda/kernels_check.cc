// cuda_kernels_check: runs the kernels of core/cuda/kernels on the card and compares them with
// plain loops in float64, over shapes that reach each of their branches; then measures them.
//   cuda_kernels_check [--no-times]
// Prints PASS or FAIL a case. Exit code 0 = all passed, 1 = a case failed or there is no card to
// run them on, which one line says.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstring>
#include <vector>

#include "tests/cuda/check_sections.h"
#include "tests/cuda/global_rows_check.h"

namespace longspan::cuda {
namespace {

void Measure(std::mt19937& random, bool has_band_attention) {
  // Random numbers repeat; what they are does not matter, that they are not zeros does.
  const Values some = RandomValues(random, int64_t{1} << 20, Storage::kBfloat16);
  std::vector<uint16_t> stored;
  while (stored.size() < size_t{kTokens} * 3072)
    stored.insert(stored.end(), some.stored.begin(), some.stored.end());
  stored.resize(size_t{kTokens} * 3072);
  const Device values(stored), out(size_t{kTokens} * kWidth * 2);
  if (has_band_attention) MeasureBandAttention(values, out);
  MeasureGlobalColumns(values, out);
  MeasureSegmentReduce(values);
  MeasureRowKernels(values, out);
  MeasureGlobalRows(random, Seconds);
}

int Run(bool times) {
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error != cudaSuccess || devices == 0) {
    std::printf("no CUDA device to check the kernels on: %s\n",
                error != cudaSuccess ? cudaGetErrorString(error) : "the driver lists none");
    return 1;
  }
  cudaDeviceProp properties;
  Require(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  std::printf("%s, compute capability %d.%d\n", properties.name, properties.major,
              properties.minor);
  const bool has_band_attention = properties.major == 9;
  if (!has_band_attention) {
    std::printf("band attention needs compute capability 9.0: not checked\n");
  }
  std::mt19937 random(1);
  for (const Storage storage : {Storage::kBfloat16, Storage::kFloat16}) {
    if (has_band_attention) CheckBandAttention(random, storage);
    CheckGlobalColumns(random, storage);
    CheckRowKernels(random, storage);
    CheckAllGlobalRows(random, storage, Report);
  }
  CheckSegmentReduce(random);
  if (failures == 0 && times) Measure(random, has_band_attention);
  std::printf(failures == 0 ? "all checks passed\n" : "%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace longspan::cuda

int main(int argc, char** argv) {
  const bool times = argc < 2 || std::strcmp(argv[1], "--no-times") != 0;
  return longspan::cuda::Run(times);
}
