// Our own kernels of the device: raw device pointers and a stream, no torch. Values are bfloat16 or
// float16 in memory, arithmetic is float32. Each call checks nothing but what its kernel cannot do,
// puts its work on the stream and returns at once; the error is that of the launch. Pointers are
// aligned to 16 bytes.
#pragma once

#include <cstdint>

#include "core/cuda/kernels/band_tiles.h"
#include "core/cuda/kernels/runtime_api.h"
#include "core/kernels/activation.h"

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

// ---- Operations row by row. Widths are multiples of 8.

// values[rows, width] = activation(values + bias), in place.
struct AddBiasActivationParams {
  void* values = nullptr;
  const void* bias = nullptr;  // [width], or null = zeros
  kernels::Activation activation = kernels::Activation::kNone;
  int64_t rows = 0;
  int width = 0;
  Storage storage = Storage::kBfloat16;  // of values and bias
};
cudaError_t AddBiasActivation(const AddBiasActivationParams& params, cudaStream_t stream);

// out[rows, width] = activation(both[:, :width]) * both[:, width:], rounded once.
struct GatedUnitParams {
  const void* both = nullptr;  // [rows, 2 width]
  void* out = nullptr;         // [rows, width]; not `both`
  kernels::Activation activation = kernels::Activation::kNone;
  int64_t rows = 0;
  int width = 0;
  Storage storage = Storage::kBfloat16;  // of both and out
};
cudaError_t GatedUnit(const GatedUnitParams& params, cudaStream_t stream);

inline constexpr int kMaxNormWidth = 2048;

// out[rows, width] = LayerNorm(values + bias + residual) * gamma + beta, of at most kMaxNormWidth
// columns. `out` may be `values` or `residual`.
struct AddBiasResidualNormParams {
  const void* values = nullptr;
  const void* bias = nullptr;      // [width], or null = zeros
  const void* residual = nullptr;  // [rows, width], or null = zeros
  const float* gamma = nullptr;    // [width]
  const float* beta = nullptr;     // [width], or null = zeros
  float epsilon = 1e-5F;           // is added to the variance
  void* out = nullptr;
  int64_t rows = 0;
  int width = 0;
  Storage storage = Storage::kBfloat16;  // of values, bias, residual and out
};
cudaError_t AddBiasResidualNorm(const AddBiasResidualNormParams& params, cudaStream_t stream);

// out[row] = LayerNorm(word_scale * words[ids[row]] + positions[position_ids[row]] +
// types[type_ids[row]]) * gamma + beta, of at most kMaxNormWidth columns. Ids are those of rows of
// the tables: nothing checks them here.
struct EmbedNormParams {
  const int32_t* ids = nullptr;  // [rows]
  const void* words = nullptr;   // [V, width]
  float word_scale = 1;
  const void* positions = nullptr;        // [P, width], or null = none
  const int32_t* position_ids = nullptr;  // [rows]; not read where there are no positions
  const void* types = nullptr;            // [Y, width], or null = none
  const int32_t* type_ids = nullptr;      // [rows], or null = row 0 for all
  const float* gamma = nullptr;           // [width]
  const float* beta = nullptr;            // [width], or null = zeros
  float epsilon = 1e-5F;                  // is added to the variance
  void* out = nullptr;                    // [rows, width]
  int64_t rows = 0;
  int width = 0;
  Storage storage = Storage::kBfloat16;  // of the tables and out
};
cudaError_t EmbedNorm(const EmbedNormParams& params, cudaStream_t stream);

// Rotary positions on the queries and keys of qkv, in place, in the rotate-half form
// (core/kernels/rope.h).
struct RotateParams {
  void* qkv = nullptr;                 // [tokens, 3, heads, head_size]
  const float* cos = nullptr;          // [P, head_size / 2]
  const float* sin = nullptr;          // [P, head_size / 2]
  const int64_t* positions = nullptr;  // [tokens], each below P: nothing checks them here
  int64_t tokens = 0;
  int heads = 0;
  int head_size = 0;  // even; fastest are multiples of 16, and next of 8
  Storage storage = Storage::kBfloat16;
};
cudaError_t Rotate(const RotateParams& params, cudaStream_t stream);

}  // namespace longspan::cuda
