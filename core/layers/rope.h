// RotaryEmbedding: rotary positions (RoPE) on the q and k of a packed batch, in place. Value i of a
// head and value i + D/2 are turned by the angle position · theta^(-2i / D), the rotate-half form;
// scaled frequencies (rope_scaling.h) take the place of theta^(-2i / D). Positions are counted from
// 0 in each text. The table of cosines and sines grows with the longest text that was seen. Copies
// of an object share it.
// Example, D = 4 and theta = 10,000: at position 3 the pair of values 0 and 2 is turned by 3 · 1,
// and the pair 1 and 3 by 3 · 0.01.
// Source: RoFormer, arXiv 2104.09864, sec. 3.2.2. Apply may be called from any thread. Proven by
// rope_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>

#include "core/layers/placement.h"
#include "core/layers/rope_scaling.h"

namespace longspan {

struct DeviceLayout;

class RotaryEmbedding {
 public:
  // theta: base of the frequencies (rope_theta of the config). Throws c10::Error where head_size is
  // odd.
  RotaryEmbedding(int64_t head_size, double theta)
      : RotaryEmbedding(head_size, RopeScaling{.theta = theta}) {}
  RotaryEmbedding(int64_t head_size, const RopeScaling& scaling, const Placement& placement = {});

  // qkv [T, 3, H, D] of a type of rows, contiguous: rotates qkv[:, 0] and qkv[:, 1]. cu_seqlens
  // [B+1] are the borders of the texts. On a backend, `layout` is the batch whose rows these are,
  // or null where they are others. Throws c10::Error for other shapes.
  void Apply(at::Tensor& qkv, std::span<const int32_t> cu_seqlens,
             const DeviceLayout* layout = nullptr) const;

 private:
  struct Table {
    at::Tensor cos, sin;  // [positions, D/2]
  };
  // The frequencies of short or of long texts and their table so far.
  struct Frequencies {
    std::mutex mu;
    at::Tensor inverse;                  // [D/2]; constant after construction
    std::shared_ptr<const Table> table;  // guarded by mu
    // Smaller ones on a backend, together no larger than the last; guarded by mu.
    std::vector<std::shared_ptr<const Table>> older;
  };
  // A table of at least num_positions positions.
  std::shared_ptr<const Table> TableFor(Frequencies& frequencies, int64_t num_positions) const;
  // Rotates the texts between these borders, which all are short or all are long.
  void ApplyToTexts(at::Tensor& qkv, std::span<const int32_t> cu_seqlens, bool long_texts,
                    const at::Tensor& positions) const;

  int64_t head_size_ = 0;
  RopeScaling scaling_;
  Placement placement_;
  std::shared_ptr<Frequencies> short_ = std::make_shared<Frequencies>();
  std::shared_ptr<Frequencies> long_ = std::make_shared<Frequencies>();
};

}  // namespace longspan
