// Kernels that go over rows once: each is bound by the memory's bandwidth.
#include <algorithm>

#include "core/cuda/kernels/gelu.h"
#include "core/cuda/kernels/kernels.h"
#include "core/cuda/kernels/launch.cuh"
#include "core/cuda/kernels/storage.cuh"

namespace longspan::cuda {
namespace {

constexpr int kWarp = 32;

// A thread takes 8 columns of four rows. More rows a thread, with its bias kept, were slower: 3.50
// against 3.23 ns a row of 3,072 on an H200.
template <typename T>
__global__ void __launch_bounds__(384)
    AddBiasGeluKernel(void* values, const void* bias, int64_t rows, int chunks) {
  constexpr int kAtATime = 4;
  const int chunk = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x);
  if (chunk >= chunks) return;
  float b[8];
  Unpack<T>(Load(bias, chunk), b);
  const int64_t row = int64_t{blockIdx.x} * kAtATime;
  uint4 in[kAtATime];
#pragma unroll
  for (int i = 0; i < kAtATime; ++i) {
    in[i] = LoadNow(values, min(row + i, rows - 1) * chunks + chunk);
  }
#pragma unroll
  for (int i = 0; i < kAtATime; ++i) {
    if (row + i >= rows) break;
    float x[8];
    Unpack<T>(in[i], x);
#pragma unroll
    for (int j = 0; j < 8; ++j) x[j] = Gelu(x[j] + b[j]);
    Store(values, (row + i) * chunks + chunk, Pack<T>(x));
  }
}

__device__ __forceinline__ float SumOfWarp(float x) {
#pragma unroll
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) x += __shfl_xor_sync(~0U, x, lanes);
  return x;
}

// What a lane of a warp holds of a row: kParts times 8 columns, a warp's width apart.
template <int kParts>
struct LaneRow {
  float v[kParts][8];

  // v = LayerNorm(v), without gamma and beta. Lanes beyond `chunks` hold zeros.
  __device__ __forceinline__ void Normalize(int chunks, float epsilon) {
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    const float columns = static_cast<float>(8 * chunks);
    float sum = 0;
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
#pragma unroll
      for (int j = 0; j < 8; ++j) sum += v[p][j];
    }
    const float mean = SumOfWarp(sum) / columns;
    float squares = 0;
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
      if (p * kWarp + lane >= chunks) break;
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        v[p][j] -= mean;
        squares += v[p][j] * v[p][j];
      }
    }
    const float scale = rsqrtf(SumOfWarp(squares) / columns + epsilon);
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
#pragma unroll
      for (int j = 0; j < 8; ++j) v[p][j] *= scale;
    }
  }
};

__device__ __forceinline__ void LoadFloats(const float* values, int chunk, float out[8]) {
  const float4 low = reinterpret_cast<const float4*>(values)[2 * chunk];
  const float4 high = reinterpret_cast<const float4*>(values)[2 * chunk + 1];
  out[0] = low.x, out[1] = low.y, out[2] = low.z, out[3] = low.w;
  out[4] = high.x, out[5] = high.y, out[6] = high.z, out[7] = high.w;
}

// out[row] = LayerNorm(x), by the warp that holds x.
template <typename T, int kParts>
__device__ __forceinline__ void StoreNormalized(LaneRow<kParts>& x, const float* gamma,
                                                const float* beta, float epsilon, void* out,
                                                int64_t row, int chunks) {
  x.Normalize(chunks, epsilon);
#pragma unroll
  for (int p = 0; p < kParts; ++p) {
    const int chunk = p * kWarp + static_cast<int>(threadIdx.x % kWarp);
    if (chunk >= chunks) break;
    float g[8], c[8];
    LoadFloats(gamma, chunk, g);
    LoadFloats(beta, chunk, c);
#pragma unroll
    for (int j = 0; j < 8; ++j) x.v[p][j] = x.v[p][j] * g[j] + c[j];
    Store(out, row * chunks + chunk, Pack<T>(x.v[p]));
  }
}

// A warp a row at a time. While one row is summed, the next one is on its way.
template <typename T, int kParts>
__global__ void __launch_bounds__(256)
    AddBiasResidualNormKernel(const void* values, const void* bias, const void* residual,
                              const float* gamma, const float* beta, float epsilon, void* out,
                              int64_t rows, int chunks) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int64_t step = int64_t{gridDim.x} * (blockDim.x / kWarp);
  int64_t row = int64_t{blockIdx.x} * (blockDim.x / kWarp) + threadIdx.x / kWarp;
  if (row >= rows) return;
  float b[kParts][8];
#pragma unroll
  for (int p = 0; p < kParts; ++p) {
    if (p * kWarp + lane < chunks) Unpack<T>(Load(bias, p * kWarp + lane), b[p]);
  }
  uint4 in[kParts], beside[kParts];
  auto load = [&](int64_t r) {
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
      if (p * kWarp + lane >= chunks) break;
      in[p] = LoadNow(values, r * chunks + p * kWarp + lane);
      beside[p] = LoadNow(residual, r * chunks + p * kWarp + lane);
    }
  };
  load(row);
  while (true) {
    LaneRow<kParts> x;
#pragma unroll
    for (int p = 0; p < kParts; ++p) {
      const bool mine = p * kWarp + lane < chunks;
      float first[8], second[8];
      if (mine) Unpack<T>(in[p], first), Unpack<T>(beside[p], second);
#pragma unroll
      for (int j = 0; j < 8; ++j) x.v[p][j] = mine ? first[j] + second[j] + b[p][j] : 0;
    }
    const int64_t next = row + step;
    if (next < rows) load(next);
    StoreNormalized<T>(x, gamma, beta, epsilon, out, row, chunks);
    if (next >= rows) return;
    row = next;
  }
}

template <typename T, int kParts>
__global__ void __launch_bounds__(256)
    EmbedNormKernel(const int* ids, const int* position_ids, const void* words,
                    const void* positions, const void* type, const float* gamma, const float* beta,
                    float epsilon, void* out, int64_t rows, int chunks) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int64_t row = int64_t{blockIdx.x} * (blockDim.x / kWarp) + threadIdx.x / kWarp;
  if (row >= rows) return;
  const int64_t word = ids[row], position = position_ids[row];
  LaneRow<kParts> x;
#pragma unroll
  for (int p = 0; p < kParts; ++p) {
    const int chunk = p * kWarp + lane;
    float a[8] = {}, b[8] = {}, c[8] = {};
    if (chunk < chunks) {
      Unpack<T>(Load(words, word * chunks + chunk), a);
      Unpack<T>(Load(positions, position * chunks + chunk), b);
      Unpack<T>(Load(type, chunk), c);
    }
#pragma unroll
    for (int j = 0; j < 8; ++j) x.v[p][j] = a[j] + b[j] + c[j];
  }
  StoreNormalized<T>(x, gamma, beta, epsilon, out, row, chunks);
}

// Calls run(T{}, integral_constant<int, kParts>{}) for the storage and the width.
template <typename Run>
cudaError_t ForRow(Storage storage, int width, Run run) {
  if (width % 8 != 0 || width <= 0 || width > kMaxNormWidth) return cudaErrorInvalidValue;
  auto with = [&](auto t) {
    const int parts = (width + 8 * kWarp - 1) / (8 * kWarp);
    if (parts <= 1) return run(t, std::integral_constant<int, 1>());
    if (parts <= 2) return run(t, std::integral_constant<int, 2>());
    if (parts <= 3) return run(t, std::integral_constant<int, 3>());
    if (parts <= 4) return run(t, std::integral_constant<int, 4>());
    run(t, std::integral_constant<int, 8>());
  };
  if (storage == Storage::kBfloat16)
    with(__nv_bfloat16());
  else
    with(__half());
  return cudaGetLastError();
}

}  // namespace

cudaError_t AddBiasGelu(void* values, const void* bias, int64_t rows, int width, Storage storage,
                        cudaStream_t stream) {
  if (width % 8 != 0 || width <= 0) return cudaErrorInvalidValue;
  if (rows == 0) return cudaSuccess;
  const int chunks = width / 8, threads = std::min(chunks, 384);
  const dim3 grid(static_cast<unsigned>((rows + 3) / 4),
                  static_cast<unsigned>((chunks + threads - 1) / threads));
  auto run = [&](auto kernel) { kernel<<<grid, threads, 0, stream>>>(values, bias, rows, chunks); };
  if (storage == Storage::kBfloat16)
    run(AddBiasGeluKernel<__nv_bfloat16>);
  else
    run(AddBiasGeluKernel<__half>);
  return cudaGetLastError();
}

cudaError_t AddBiasResidualNorm(const void* values, const void* bias, const void* residual,
                                const float* gamma, const float* beta, float epsilon, void* out,
                                int64_t rows, int width, Storage storage, cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  const auto blocks =
      static_cast<unsigned>(std::min<int64_t>((rows + 7) / 8, 4 * NumMultiprocessors()));
  return ForRow(storage, width, [&](auto t, auto parts) {
    AddBiasResidualNormKernel<decltype(t), parts()><<<blocks, 256, 0, stream>>>(
        values, bias, residual, gamma, beta, epsilon, out, rows, width / 8);
  });
}

cudaError_t EmbedNorm(const int* ids, const int* position_ids, const void* words,
                      const void* positions, const void* type, const float* gamma,
                      const float* beta, float epsilon, void* out, int64_t rows, int width,
                      Storage storage, cudaStream_t stream) {
  if (rows == 0) return cudaSuccess;
  const auto blocks = static_cast<unsigned>((rows + 7) / 8);
  return ForRow(storage, width, [&](auto t, auto parts) {
    EmbedNormKernel<decltype(t), parts()><<<blocks, 256, 0, stream>>>(
        ids, position_ids, words, positions, type, gamma, beta, epsilon, out, rows, width / 8);
  });
}

}  // namespace longspan::cuda
