// Rotary positions. A thread takes kWide pairs of a token and up to kHeadsAtOnce of its 2H heads of
// queries and keys, which turn by the same angles.
#include "core/cuda/kernels/dispatch.cuh"
#include "core/cuda/kernels/kernels.h"
#include "core/cuda/kernels/launch.cuh"
#include "core/cuda/kernels/storage.cuh"

namespace longspan::cuda {
namespace {

constexpr int kRotateThreads = 256;
constexpr int kHeadsAtOnce = 4;

// kWide (1, 4 or 8) neighbouring values of T, aligned to their size.
template <typename T, int kWide>
struct Piece {
  uint32_t words[kWide == 1 ? 1 : kWide / 2];

  __device__ __forceinline__ void Read(const uint16_t* from) {
    if constexpr (kWide == 8) {
      const uint4 v = LoadNow(from, 0);
      words[0] = v.x, words[1] = v.y, words[2] = v.z, words[3] = v.w;
    } else if constexpr (kWide == 4) {
      const uint2 v = *reinterpret_cast<const uint2*>(from);
      words[0] = v.x, words[1] = v.y;
    } else {
      words[0] = *from;
    }
  }
  __device__ __forceinline__ void Write(uint16_t* to) const {
    if constexpr (kWide == 8) {
      Store(to, 0, uint4{words[0], words[1], words[2], words[3]});
    } else if constexpr (kWide == 4) {
      *reinterpret_cast<uint2*>(to) = uint2{words[0], words[1]};
    } else {
      *to = static_cast<uint16_t>(words[0]);
    }
  }
  // With kWide = 1 the high half of the word is not used.
  __device__ __forceinline__ float Get(int i) const {
    const float2 pair = UnpackPair<T>(words[i / 2]);
    return i % 2 == 0 ? pair.x : pair.y;
  }
  __device__ __forceinline__ void Set(const float* values) {
    if constexpr (kWide == 1) {
      words[0] = PackPair<T>(values[0], 0.0F);
    } else {
      LONGSPAN_UNROLL
      for (int i = 0; i < kWide / 2; ++i) {
        words[i] = PackPair<T>(values[2 * i], values[2 * i + 1]);
      }
    }
  }
};

template <int kWide>
__device__ __forceinline__ void LoadAngles(const float* from, float (&out)[kWide]) {
  if constexpr (kWide == 1) {
    out[0] = *from;
  } else {
    LONGSPAN_UNROLL
    for (int i = 0; i < kWide / 4; ++i) {
      const float4 v = reinterpret_cast<const float4*>(from)[i];
      out[4 * i] = v.x, out[4 * i + 1] = v.y, out[4 * i + 2] = v.z, out[4 * i + 3] = v.w;
    }
  }
}

// A token has units * slots threads: those of slot s take its heads s, s + slots, ...
template <typename T, int kWide>
__global__ void __launch_bounds__(kRotateThreads)
    RotateKernel(RotateParams p, int units, int slots, int tokens_of_block) {
  const int i = static_cast<int>(blockIdx.y * kRotateThreads + threadIdx.x);
  const int local = i / (units * slots), place = i - local * units * slots;
  const int64_t token = int64_t{blockIdx.x} * tokens_of_block + local;
  if (local >= tokens_of_block || token >= p.tokens) return;
  const int slot = place / units, unit = place - slot * units;
  const int half = p.head_size / 2, heads = 2 * p.heads;
  uint16_t* const first = static_cast<uint16_t*>(p.qkv) + token * 3 * p.heads * p.head_size +
                          static_cast<int64_t>(slot) * p.head_size + unit * kWide;
  const int64_t step = static_cast<int64_t>(slots) * p.head_size;  // to the thread's next head

  Piece<T, kWide> low[kHeadsAtOnce], high[kHeadsAtOnce];
  LONGSPAN_UNROLL
  for (int h = 0; h < kHeadsAtOnce; ++h) {
    if (slot + h * slots >= heads) break;
    low[h].Read(first + h * step);
    high[h].Read(first + h * step + half);
  }
  const int64_t angles = p.positions[token] * half + unit * kWide;
  float cos[kWide], sin[kWide];
  LoadAngles<kWide>(p.cos + angles, cos);
  LoadAngles<kWide>(p.sin + angles, sin);
  LONGSPAN_UNROLL
  for (int h = 0; h < kHeadsAtOnce; ++h) {
    if (slot + h * slots >= heads) break;
    float x[kWide], y[kWide];
    LONGSPAN_UNROLL
    for (int j = 0; j < kWide; ++j) {
      const float a = low[h].Get(j), b = high[h].Get(j);
      x[j] = a * cos[j] - b * sin[j];
      y[j] = b * cos[j] + a * sin[j];
    }
    low[h].Set(x);
    high[h].Set(y);
    low[h].Write(first + h * step);
    high[h].Write(first + h * step + half);
  }
}

template <int kWide>
cudaError_t RunRotate(const RotateParams& p, cudaStream_t stream) {
  const int64_t units = p.head_size / 2 / kWide;
  const int64_t slots = (2 * int64_t{p.heads} + kHeadsAtOnce - 1) / kHeadsAtOnce;
  const int64_t threads = units * slots;  // of a token
  const int64_t tokens_of_block = threads < kRotateThreads ? kRotateThreads / threads : 1;
  const int64_t blocks = (p.tokens + tokens_of_block - 1) / tokens_of_block;
  const int64_t blocks_of_token = (threads + kRotateThreads - 1) / kRotateThreads;
  if (blocks > 0x7fffffff || blocks_of_token > 65535) return cudaErrorInvalidValue;
  return WithStorage(p.storage, [&](auto t) {
    return Launch(RotateKernel<decltype(t), kWide>,
                  dim3(static_cast<unsigned>(blocks), static_cast<unsigned>(blocks_of_token)),
                  kRotateThreads, 0, stream, p, static_cast<int>(units), static_cast<int>(slots),
                  static_cast<int>(tokens_of_block));
  });
}

}  // namespace

cudaError_t Rotate(const RotateParams& p, cudaStream_t stream) {
  if (p.head_size < 2 || p.head_size % 2 != 0 || p.heads < 1 || p.tokens < 0 ||
      !AreAligned(p.qkv, p.cos, p.sin)) {
    return cudaErrorInvalidValue;
  }
  if (p.tokens == 0) return cudaSuccess;
  if (p.head_size % 16 == 0) return RunRotate<8>(p, stream);
  if (p.head_size % 8 == 0) return RunRotate<4>(p, stream);
  return RunRotate<1>(p, stream);
}

}  // namespace longspan::cuda
