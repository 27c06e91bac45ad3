#include "core/backend/backend.h"

#include <ATen/ops/empty.h>

namespace longspan {

at::Tensor Backend::WindowAttention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                    const DeviceLayout& layout, double scale) const {
  at::Tensor out = at::empty(q.sizes(), q.options().memory_format(at::MemoryFormat::Contiguous));
  for (const WindowRun& run : layout.runs) {
    const auto rows = [&run](const at::Tensor& x) {
      return x.slice(0, run.row_begin, run.row_end);
    };
    at::Tensor rows_out = rows(out);
    WindowAndGlobals(rows(q), rows(k), rows(v), run, scale, rows_out);
  }
  return out;
}

void Backend::WindowAndGlobals(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                               const WindowRun& run, double scale, at::Tensor& out) const {
  AttentionPart seen = Band(q, k, v, run, scale);
  if (!run.with_columns.empty()) seen = Merge(seen, Columns(q, k, v, run, scale));
  out.copy_(seen.out);
}

}  // namespace longspan
