// LayerNorm of what lies in one row: a warp a row, in one pass that the memory's bandwidth bounds.
#include <algorithm>
#include <type_traits>

#include "core/cuda/kernels/dispatch.cuh"
#include "core/cuda/kernels/kernels.h"
#include "core/cuda/kernels/launch.cuh"
#include "core/cuda/kernels/storage.cuh"

namespace longspan::cuda {
namespace {

constexpr int kWarp = 32;
constexpr int kNormThreads = 256;
constexpr int kRowsOfBlock = kNormThreads / kWarp;

__device__ __forceinline__ float SumOfWarp(float x) {
  LONGSPAN_UNROLL
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
    LONGSPAN_UNROLL
    for (int p = 0; p < kParts; ++p) {
      LONGSPAN_UNROLL
      for (int j = 0; j < 8; ++j) sum += v[p][j];
    }
    const float mean = SumOfWarp(sum) / columns;
    float squares = 0;
    LONGSPAN_UNROLL
    for (int p = 0; p < kParts; ++p) {
      if (p * kWarp + lane >= chunks) break;
      LONGSPAN_UNROLL
      for (int j = 0; j < 8; ++j) {
        v[p][j] -= mean;
        squares += v[p][j] * v[p][j];
      }
    }
    const float scale = rsqrtf(SumOfWarp(squares) / columns + epsilon);
    LONGSPAN_UNROLL
    for (int p = 0; p < kParts; ++p) {
      LONGSPAN_UNROLL
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

// out[row] = LayerNorm(x) * gamma + beta, by the warp that holds x. Without kHasBeta, beta may be
// null.
template <typename T, bool kHasBeta, int kParts>
__device__ __forceinline__ void StoreNormalized(LaneRow<kParts>& x, const float* gamma,
                                                const float* beta, float epsilon, void* out,
                                                int64_t row, int chunks) {
  x.Normalize(chunks, epsilon);
  LONGSPAN_UNROLL
  for (int p = 0; p < kParts; ++p) {
    const int chunk = p * kWarp + static_cast<int>(threadIdx.x % kWarp);
    if (chunk >= chunks) break;
    float g[8], c[8] = {};
    LoadFloats(gamma, chunk, g);
    if (kHasBeta || beta != nullptr) LoadFloats(beta, chunk, c);
    LONGSPAN_UNROLL
    for (int j = 0; j < 8; ++j) x.v[p][j] = x.v[p][j] * g[j] + c[j];
    Store(out, row * chunks + chunk, Pack<T>(x.v[p]));
  }
}

// A warp a row at a time. While one row is summed, the next one is on its way. With kAll there are
// a residual and a beta, which is asked for no more.
template <typename T, int kParts, bool kAll>
__global__ void __launch_bounds__(kNormThreads)
    AddBiasResidualNormKernel(AddBiasResidualNormParams params, int chunks) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int64_t step = int64_t{gridDim.x} * kRowsOfBlock;
  int64_t row = int64_t{blockIdx.x} * kRowsOfBlock + threadIdx.x / kWarp;
  if (row >= params.rows) return;
  const bool has_residual = kAll || params.residual != nullptr;
  // The bias stays in registers where there is room for it, and else is read again for each row.
  constexpr bool kKeepBias = kParts <= 4;
  const auto load_bias = [&](int p, float(&out)[8]) {
    LONGSPAN_UNROLL
    for (int j = 0; j < 8; ++j) out[j] = 0;
    if (params.bias != nullptr && p * kWarp + lane < chunks) {
      Unpack<T>(Load(params.bias, p * kWarp + lane), out);
    }
  };
  float bias[kKeepBias ? kParts : 1][8];
  LONGSPAN_UNROLL
  for (int p = 0; kKeepBias && p < kParts; ++p) load_bias(p, bias[p]);
  uint4 in[kParts], beside[kParts];  // zeros where the lane has no columns
  LONGSPAN_UNROLL
  for (int p = 0; p < kParts; ++p) in[p] = beside[p] = uint4{0, 0, 0, 0};
  auto load = [&](int64_t r) {
    LONGSPAN_UNROLL
    for (int p = 0; p < kParts; ++p) {
      if (p * kWarp + lane >= chunks) break;
      in[p] = LoadNow(params.values, r * chunks + p * kWarp + lane);
      if (has_residual) beside[p] = LoadNow(params.residual, r * chunks + p * kWarp + lane);
    }
  };
  load(row);
  while (true) {
    LaneRow<kParts> x;
    LONGSPAN_UNROLL
    for (int p = 0; p < kParts; ++p) {
      float first[8], second[8];
      Unpack<T>(in[p], first);
      Unpack<T>(beside[p], second);
      if constexpr (!kKeepBias) load_bias(p, bias[0]);
      LONGSPAN_UNROLL
      for (int j = 0; j < 8; ++j) x.v[p][j] = first[j] + second[j] + bias[kKeepBias ? p : 0][j];
    }
    const int64_t next = row + step;
    if (next < params.rows) load(next);
    StoreNormalized<T, kAll>(x, params.gamma, params.beta, params.epsilon, params.out, row, chunks);
    if (next >= params.rows) return;
    row = next;
  }
}

template <typename T, int kParts>
__global__ void __launch_bounds__(kNormThreads)
    EmbedNormKernel(EmbedNormParams params, int chunks) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  const int64_t row = int64_t{blockIdx.x} * kRowsOfBlock + threadIdx.x / kWarp;
  if (row >= params.rows) return;
  const int64_t word = params.ids[row];
  const int64_t position = params.positions != nullptr ? params.position_ids[row] : 0;
  const int64_t type = params.type_ids != nullptr ? params.type_ids[row] : 0;
  LaneRow<kParts> x;
  LONGSPAN_UNROLL
  for (int p = 0; p < kParts; ++p) {
    const int chunk = p * kWarp + lane;
    float a[8] = {}, b[8] = {}, c[8] = {};
    if (chunk < chunks) {
      Unpack<T>(Load(params.words, word * chunks + chunk), a);
      if (params.positions != nullptr) {
        Unpack<T>(Load(params.positions, position * chunks + chunk), b);
      }
      if (params.types != nullptr) Unpack<T>(Load(params.types, type * chunks + chunk), c);
    }
    LONGSPAN_UNROLL
    for (int j = 0; j < 8; ++j) x.v[p][j] = a[j] * params.word_scale + b[j] + c[j];
  }
  StoreNormalized<T, false>(x, params.gamma, params.beta, params.epsilon, params.out, row, chunks);
}

// Calls launch(t, integral_constant<int, kParts>()) for the storage and the width.
template <typename LaunchOf>
cudaError_t ForRow(Storage storage, int64_t rows, int width, LaunchOf launch) {
  if (width <= 0 || width % 8 != 0 || width > kMaxNormWidth || rows < 0 ||
      rows > int64_t{kRowsOfBlock} * 0x7fffffff) {
    return cudaErrorInvalidValue;
  }
  if (rows == 0) return cudaSuccess;
  return WithStorage(storage, [&](auto t) {
    const int parts = (width + 8 * kWarp - 1) / (8 * kWarp);
    if (parts <= 1) return launch(t, std::integral_constant<int, 1>());
    if (parts <= 2) return launch(t, std::integral_constant<int, 2>());
    if (parts <= 3) return launch(t, std::integral_constant<int, 3>());
    if (parts <= 4) return launch(t, std::integral_constant<int, 4>());
    return launch(t, std::integral_constant<int, 8>());
  });
}

}  // namespace

cudaError_t AddBiasResidualNorm(const AddBiasResidualNormParams& p, cudaStream_t stream) {
  if (!AreAligned(p.values, p.bias, p.residual, p.gamma, p.beta, p.out)) {
    return cudaErrorInvalidValue;
  }
  return ForRow(p.storage, p.rows, p.width, [&](auto t, auto parts) {
    constexpr int kParts = decltype(parts)::value;
    const int64_t blocks =
        std::min<int64_t>((p.rows + kRowsOfBlock - 1) / kRowsOfBlock, 4 * NumMultiprocessors());
    const auto kernel = p.residual != nullptr && p.beta != nullptr
                            ? AddBiasResidualNormKernel<decltype(t), kParts, true>
                            : AddBiasResidualNormKernel<decltype(t), kParts, false>;
    return Launch(kernel, dim3(static_cast<unsigned>(blocks)), kNormThreads, 0, stream, p,
                  p.width / 8);
  });
}

cudaError_t EmbedNorm(const EmbedNormParams& p, cudaStream_t stream) {
  if (!AreAligned(p.words, p.positions, p.types, p.gamma, p.beta, p.out)) {
    return cudaErrorInvalidValue;
  }
  return ForRow(p.storage, p.rows, p.width, [&](auto t, auto parts) {
    const dim3 blocks(static_cast<unsigned>((p.rows + kRowsOfBlock - 1) / kRowsOfBlock));
    return Launch(EmbedNormKernel<decltype(t), decltype(parts)::value>, blocks, kNormThreads, 0,
                  stream, p, p.width / 8);
  });
}

}  // namespace longspan::cuda
