#include "core/tools/attention_pattern.h"

#include <algorithm>

namespace longspan {

void AttentionPattern::Add(int64_t query, int64_t key, Sight sight, int times) {
  Sight& cell = sight_[query * rows_ + key];
  uint8_t& count = times_[query * rows_ + key];
  cell = std::max(cell, sight);
  if (sight > Sight::kSelfOnly) count = static_cast<uint8_t>(std::min(255, count + times));
}

void AttentionPattern::HideRow(int64_t query) {
  std::fill_n(sight_.begin() + query * rows_, rows_, Sight::kHidden);
  std::fill_n(times_.begin() + query * rows_, rows_, uint8_t{0});
}

void AttentionPattern::SettleSelf() {
  for (int64_t row = 0; row < rows_; ++row) {
    if (sight(row, row) != Sight::kSelfOnly) continue;
    bool sees_others = false;
    for (int64_t key = 0; key < rows_ && !sees_others; ++key) sees_others = sees(row, key);
    if (!sees_others) Add(row, row, Sight::kNear, 1);
  }
}

}  // namespace longspan
