#include "core/backend/backend.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>

#include <utility>

#include "core/backend/upload_log.h"

namespace longspan {
namespace {

thread_local UploadLog* log_in_force = nullptr;

}  // namespace

at::Tensor Backend::Upload(const at::Tensor& host) const {
  const auto copy = [&] { return CopyToDevice(host); };
  return log_in_force == nullptr ? copy() : log_in_force->Take(host, copy);
}

UploadLog* Backend::UseLog(UploadLog* log) const { return std::exchange(log_in_force, log); }

std::unique_ptr<Recording> Backend::Record(const at::Tensor& /*x*/, const RowRun& /*run*/) const {
  TORCH_CHECK(false, name(), " records nothing");
}

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

namespace {

at::Tensor EmptyLike(const at::Tensor& x) {
  return at::empty(x.sizes(), x.options().memory_format(at::MemoryFormat::Contiguous));
}

at::Tensor RowsOf(const ChunkRun& run, const at::Tensor& x) {
  return x.slice(0, run.row_begin, run.row_end);
}

// The order of a run of which no text is hashed: [H, 1, rows].
at::Tensor AsTheyLie(const at::Tensor& x) {
  return at::arange(x.size(0), x.options().dtype(at::kInt))
      .expand({x.size(1), 1, x.size(0)})
      .contiguous();
}

}  // namespace

at::Tensor Backend::LocalChunks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                std::span<const ChunkRun> runs) const {
  at::Tensor out = EmptyLike(q), no_lse;
  for (const ChunkRun& run : runs) {
    at::Tensor rows_out = RowsOf(run, out).unsqueeze(2);
    AttendChunks(RowsOf(run, q), RowsOf(run, k), RowsOf(run, v), /*order=*/{}, run, rows_out,
                 no_lse);
  }
  return out;
}

at::Tensor Backend::LshChunks(const at::Tensor& exact, const at::Tensor& qk, const at::Tensor& v,
                              std::span<const ChunkRun> runs) const {
  at::Tensor out = EmptyLike(qk);
  for (const ChunkRun& run : runs) {
    const at::Tensor q = RowsOf(run, qk);
    const at::Tensor order =
        run.factors.empty() ? AsTheyLie(q) : SortByBucket(RowsOf(run, exact), run);
    at::Tensor rows_out = RowsOf(run, out), parts, lse;
    if (run.num_rounds == 1) {
      parts = rows_out.unsqueeze(2);
    } else {
      parts = at::empty({q.size(0), q.size(1), run.num_rounds, q.size(2)}, q.options());
      lse = at::empty({q.size(0), q.size(1), run.num_rounds}, q.options().dtype(at::kFloat));
    }
    AttendChunks(q, q, RowsOf(run, v), order, run, parts, lse);
    if (run.num_rounds > 1) MergeRounds(parts, lse, rows_out);
  }
  return out;
}

}  // namespace longspan
