// Windows, global tokens and Reformer's chunks by our kernels.
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/cuda/kernel_backend.h"
#include "core/cuda/kernel_call.h"
#include "core/cuda/kernels/band_tiles.h"
#include "core/cuda/kernels/global_columns.h"
#include "core/cuda/reformer_operations.h"

namespace longspan {
namespace {

// Whether x is the part `part` (0, 1, 2) of the packed [T, 3, H, D] that begins where q does.
bool IsPartOf(const at::Tensor& q, const at::Tensor& x, int64_t part) {
  const int64_t heads = q.size(1), head_size = q.size(2);
  return x.stride(0) == 3 * heads * head_size && x.stride(1) == head_size && x.stride(2) == 1 &&
         static_cast<const char*>(x.const_data_ptr()) ==
             static_cast<const char*>(q.const_data_ptr()) +
                 part * heads * head_size * static_cast<int64_t>(q.element_size());
}

// The window for a kernel that takes an int: any window as long as the text is the whole text.
int WindowOf(const WindowRun& run) {
  return static_cast<int>(std::min<int64_t>(run.window, cuda::kBandMaxWindow));
}

}  // namespace

bool KernelBackend::BandKernelTakes(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                    const WindowRun& run) const {
  return has_band_kernel() && cuda::IsStored(q.scalar_type()) &&
         (q.size(2) == 32 || q.size(2) == 64) && !run.read.defined() && run.prepared.defined() &&
         cuda::IsAligned(q) && IsPartOf(q, q, 0) && IsPartOf(q, k, 1) && IsPartOf(q, v, 2);
}

// The blocks of rows that the kernel takes.
void KernelBackend::Prepare(WindowRun& run) const {
  if (!has_band_kernel() || run.read.defined()) return;
  std::vector<int> lengths;
  for (size_t text = 0; text + 1 < run.cu_seqlens.size(); ++text)
    lengths.push_back(run.cu_seqlens[text + 1] - run.cu_seqlens[text]);
  std::vector<int32_t> numbers;
  for (const cuda::BandBlock& block : cuda::BlocksOfTexts(lengths))
    numbers.insert(numbers.end(), {block.first_row, block.text_begin, block.text_end, block.text});
  run.prepared = Upload(at::tensor(numbers).view({-1, 4}));
}

void KernelBackend::RunBandKernel(const at::Tensor& q, const WindowRun& run, double scale,
                                  at::Tensor& out) const {
  const bool has_globals = run.globals_on_device.defined();
  const cuda::BandAttentionParams params{
      .qkv = q.const_data_ptr(),
      .out = out.mutable_data_ptr(),
      .lse = nullptr,
      .blocks = static_cast<const cuda::BandBlock*>(run.prepared.const_data_ptr()),
      .num_blocks = static_cast<int>(run.prepared.size(0)),
      .global_begin = has_globals ? run.cu_globals_on_device.const_data_ptr<int32_t>() : nullptr,
      .globals = has_globals ? run.globals_on_device.const_data_ptr<int32_t>() : nullptr,
      .tokens = q.size(0),
      .heads = static_cast<int>(q.size(1)),
      .head_size = static_cast<int>(q.size(2)),
      .window = WindowOf(run),
      .scale = static_cast<float>(scale),
      .storage = cuda::StorageOf(q)};
  cuda::CheckLaunch(cuda::BandAttention(params, stream()), "BandAttention");
}

void KernelBackend::WindowAndGlobals(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const WindowRun& run, double scale, at::Tensor& out) const {
  if (BandKernelTakes(q, k, v, run)) return RunBandKernel(q, run, scale, out);
  AttentionPart band = Band(q, k, v, run, scale);
  if (!run.with_columns.empty()) AddColumns(q, k, v, run, scale, band);
  out.copy_(band.out);
}

// The kernel does what Columns and Merge do, for all texts at once.
void KernelBackend::AddColumns(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                               const WindowRun& run, double scale, AttentionPart& band) const {
  const auto is_taken = [](const at::Tensor& x) {
    return x.stride(2) == 1 && x.stride(1) == x.size(2) && x.stride(0) % 8 == 0 &&
           cuda::IsAligned(x);
  };
  const bool takes = cuda::IsStored(q.scalar_type()) && band.out.scalar_type() == q.scalar_type() &&
                     q.size(2) % 8 == 0 && q.size(2) <= 256 && is_taken(q) && is_taken(k) &&
                     is_taken(v) && band.out.is_contiguous() && band.lse.is_contiguous() &&
                     !run.read.defined();
  if (!takes) {
    band = Merge(band, Columns(q, k, v, run, scale));
    return;
  }
  const cuda::GlobalColumnsParams params{
      .out = band.out.mutable_data_ptr(),
      .lse = band.lse.mutable_data_ptr<float>(),
      .q = q.const_data_ptr(),
      .k = k.const_data_ptr(),
      .v = v.const_data_ptr(),
      .q_stride = q.stride(0),
      .k_stride = k.stride(0),
      .v_stride = v.stride(0),
      .cu_seqlens = run.cu_seqlens_on_device.const_data_ptr<int32_t>(),
      .globals = run.globals_on_device.const_data_ptr<int32_t>(),
      .cu_globals = run.cu_globals_on_device.const_data_ptr<int32_t>(),
      .num_texts = static_cast<int32_t>(run.cu_seqlens.size()) - 1,
      .num_rows = static_cast<int32_t>(q.size(0)),
      .num_heads = static_cast<int32_t>(q.size(1)),
      .head_size = static_cast<int32_t>(q.size(2)),
      .window = run.window,
      .scale = static_cast<float>(scale),
      .storage = cuda::StorageOf(q)};
  cuda::CheckLaunch(cuda::GlobalColumns(params, stream()), "GlobalColumns");
}

void KernelBackend::PrepareChunks(ChunkRun& run) const {
  cuda::PrepareChunkRun(*this, run, stream());
}

at::Tensor KernelBackend::SortByBucket(const at::Tensor& exact, const ChunkRun& run) const {
  at::Tensor order;
  if (cuda::TrySortByBucket(exact, run, stream(), order)) return order;
  return PortableBackend::SortByBucket(exact, run);
}

void KernelBackend::AttendChunks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const at::Tensor& order, const ChunkRun& run, at::Tensor& out,
                                 at::Tensor& lse) const {
  if (cuda::TryAttendChunks(q, k, v, order, run, stream(), out, lse)) return;
  PortableBackend::AttendChunks(q, k, v, order, run, out, lse);
}

void KernelBackend::MergeRounds(const at::Tensor& parts, const at::Tensor& lse,
                                at::Tensor& out) const {
  if (cuda::TryMergeRounds(parts, lse, stream(), out)) return;
  PortableBackend::MergeRounds(parts, lse, out);
}

}  // namespace longspan
