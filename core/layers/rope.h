// RotaryEmbedding: rotate-half RoPE on the q and k of a packed batch, in place, positions counted
// from 0 in each text. The table of cosines and sines grows with the longest text seen and is
// shared; Apply may be called from any thread.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

namespace longspan {

class RotaryEmbedding {
 public:
  // theta: base of the frequencies (rope_theta of the config). head_size must be even.
  RotaryEmbedding(int64_t head_size, double theta);

  // qkv [T, 3, H, D] float32 or bfloat16, contiguous: rotates qkv[:, 0] and qkv[:, 1]. cu_seqlens
  // [B+1].
  void Apply(at::Tensor& qkv, std::span<const int32_t> cu_seqlens) const;

 private:
  struct Table {
    at::Tensor cos, sin;  // [positions, D/2]
  };
  std::shared_ptr<const Table> TableFor(int64_t num_positions) const;

  int64_t head_size_ = 0;
  at::Tensor inverse_frequencies_;  // [D/2]
  struct Cache {
    std::mutex mu;
    std::shared_ptr<const Table> table;  // guarded by mu
  };
  std::shared_ptr<Cache> cache_ = std::make_shared<Cache>();
};

}  // namespace longspan
