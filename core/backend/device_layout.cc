#include "core/backend/device_layout.h"

namespace longspan {

std::vector<int64_t> PositionsInTexts(std::span<const int32_t> cu_seqlens) {
  std::vector<int64_t> positions;
  positions.reserve(cu_seqlens.back());
  for (size_t text = 0; text + 1 < cu_seqlens.size(); ++text) {
    for (int32_t row = cu_seqlens[text]; row < cu_seqlens[text + 1]; ++row)
      positions.push_back(row - cu_seqlens[text]);
  }
  return positions;
}

}  // namespace longspan
