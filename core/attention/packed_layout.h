// PackedLayout: who may see whom in a packed batch, shared by every attention of one layer. Plain
// views; the batch owns the data.
#pragma once

#include <cstdint>
#include <span>

namespace longspan {

class AttentionObserver;

struct PackedLayout {
  std::span<const int32_t> cu_seqlens;  // [B+1]
  std::span<const int64_t>
      windows;  // [B] one-sided window of each text, kernels::kUnlimitedWindow = whole text
  std::span<const int32_t>
      globals;  // [G] packed positions of global tokens, ascending; may be empty
  std::span<const int32_t> cu_globals;  // [B+1], or empty where globals is
  std::span<const uint8_t> key_mask;    // [T] 0 = not read; empty = all read
  AttentionObserver* observer = nullptr;
};

}  // namespace longspan
