#include "core/token_rows.h"

#include <algorithm>
#include <cmath>

#include "core/pooling.h"

namespace longspan {

bool AllFinite(const float* values, int64_t count) {
  return std::all_of(values, values + count, [](float value) { return std::isfinite(value); });
}

absl::Status NotFinite() {
  return absl::InternalError(
      "the output holds NaN or Inf; the weights or the input overflow in this dtype");
}

absl::Status TokenRows::Send(int64_t begin, const at::Tensor& rows) const {
  const bool projects = model_.multi_vector.has_value();
  at::Tensor values = projects ? head_.ApplyDense(rows) : rows;
  const int64_t count = values.size(0), width = values.size(1);
  if (!AllFinite(values.data_ptr<float>(), count * width)) return NotFinite();
  if (model_.NormalizesTokens(options_.normalize)) {
    if (values.is_same(rows)) values = rows.clone();  // the model may keep them
    float* row = values.data_ptr<float>();
    for (int64_t i = 0; i < count; ++i, row += width)
      NormalizeL2(std::span(row, static_cast<size_t>(width)));
  }
  const auto is_skipped = [&](int64_t i) {
    return projects && model_.multi_vector->Skips(options_.text_role, ids_[begin + i]);
  };
  for (int64_t first = 0; first < count;) {
    int64_t end = first;
    while (end < count && !is_skipped(end)) ++end;
    if (end > first)
      options_.token_sink(begin + first, end - first, values.data_ptr<float>() + first * width);
    first = end + 1;
  }
  return absl::OkStatus();
}

}  // namespace longspan
