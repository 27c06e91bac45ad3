// Our own kernels of the device: raw device pointers and a stream, no torch. Values are bfloat16 or
// float16 in memory, arithmetic is float32. Each call checks nothing but what its kernel cannot do,
// puts its work on the stream and returns at once; the error is that of the launch. Pointers are
// aligned to 16 bytes.
#pragma once

#include <cstdint>

#include "core/cuda/kernels/band_tiles.h"
#include "core/cuda/kernels/runtime_api.h"

namespace longspan::cuda {

enum class Storage : uint8_t { kBfloat16, kFloat16 };

// Attention of packed texts to a window and to global tokens, on a card of compute capability 9.0.
struct BandAttentionParams {
  const void* qkv;          // [tokens, 3, heads, head_size]: query, key, value
  void* out;                // [tokens, heads, head_size]
  float* lse;               // [heads, tokens], log of the sum of exponentials (natural), or null
  const BandBlock* blocks;  // in the device's memory: each text in blocks of kBandRows rows
  int num_blocks;
  // Global tokens, or null: globals[global_begin[t] .. global_begin[t + 1]] are the rows of those
  // of text t, in order. Every token of the text sees them; their own rows come out as of any
  // token.
  const int* global_begin;
  const int* globals;
  int64_t tokens;
  int heads;
  int head_size;  // 32 or 64
  int window;     // keys on either side; kBandMaxWindow and above = the whole text
  float scale;    // of the scores
  Storage storage;
};
cudaError_t BandAttention(const BandAttentionParams& params, cudaStream_t stream);

// values[rows, width] = gelu(values + bias), in place. width % 8 == 0.
cudaError_t AddBiasGelu(void* values, const void* bias, int64_t rows, int width, Storage storage,
                        cudaStream_t stream);

// out[rows, width] = LayerNorm(values + bias + residual) * gamma + beta; gamma and beta are
// float32. width % 8 == 0 and at most kMaxNormWidth. `out` may be `values` or `residual`.
inline constexpr int kMaxNormWidth = 2048;
cudaError_t AddBiasResidualNorm(const void* values, const void* bias, const void* residual,
                                const float* gamma, const float* beta, float epsilon, void* out,
                                int64_t rows, int width, Storage storage, cudaStream_t stream);

// out[row] = LayerNorm(words[ids[row]] + positions[position_ids[row]] + type) * gamma + beta.
// Ids are those of rows of the tables: nothing checks them here.
cudaError_t EmbedNorm(const int* ids, const int* position_ids, const void* words,
                      const void* positions, const void* type, const float* gamma,
                      const float* beta, float epsilon, void* out, int64_t rows, int width,
                      Storage storage, cudaStream_t stream);

}  // namespace longspan::cuda
