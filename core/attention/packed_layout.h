// PackedLayout: which tokens may see which in a packed batch. Every attention over packed texts
// takes one. The spans are views; whoever made the layout (core/models/packed_pass.h) owns what
// they show.
#pragma once

#include <cstdint>
#include <span>

namespace longspan {

class AttentionObserver;
struct DeviceLayout;

struct PackedLayout {
  std::span<const int32_t> cu_seqlens;  // [B+1], first row of each text, then T, the number of rows
  // [B], the one-sided window of each text; kernels::kUnlimitedWindow = the whole text.
  std::span<const int64_t> windows;
  std::span<const int32_t> globals;     // [G], rows of global tokens, ascending; may be empty
  std::span<const int32_t> cu_globals;  // [B+1], borders of texts in globals; empty where that is
  // [T], 0 = not read, kUnseen = seen by no token (core/kernels/key_mask.h); empty = all are read.
  std::span<const uint8_t> key_mask;
  AttentionObserver* observer = nullptr;  // null = nobody watches
  // The same on a backend (core/backend/device_layout.h); null = the kernels of the CPU.
  const DeviceLayout* device = nullptr;
};

}  // namespace longspan
