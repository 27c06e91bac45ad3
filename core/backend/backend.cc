#include "core/backend/backend.h"

#include <ATen/ops/cat.h>

namespace longspan {

at::Tensor Backend::WindowAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                    const DeviceLayout& layout, double scale) const {
  std::vector<at::Tensor> parts;
  parts.reserve(layout.runs.size());
  for (const WindowRun& run : layout.runs) {
    const auto rows = [&run](const at::Tensor& x) {
      return x.slice(0, run.row_begin, run.row_end);
    };
    AttentionPart seen = Band(rows(q), rows(k), rows(v), run, scale);
    if (!run.with_columns.empty())
      seen = Merge(seen, Columns(rows(q), rows(k), rows(v), run, scale));
    parts.push_back(seen.out.to(q.scalar_type()));
  }
  return parts.size() == 1 ? parts.front() : at::cat(parts);
}

}  // namespace longspan
