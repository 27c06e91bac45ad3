// The averages of rows that global tokens see, by our kernel: all texts of a batch in one call.
// Which block takes which rows follows from the texts alone, so it is planned and uploaded by the
// first layer of a pass and kept for the others.
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "core/cuda/kernel_backend.h"
#include "core/cuda/kernel_call.h"
#include "core/cuda/kernels/global_rows.h"

namespace longspan {
namespace {

struct PlanOnDevice {
  at::Tensor blocks, merges;  // bytes
  int num_blocks = 0, num_merges = 0, num_parts = 0;
};

// By the first and the last row of the texts.
struct KeptPlans final : KeptForLayers {
  std::map<std::pair<int64_t, int64_t>, PlanOnDevice> plans;
};

template <typename T>
at::Tensor UploadBytes(const Backend& backend, const std::vector<T>& values) {
  const at::Tensor bytes = at::from_blob(const_cast<T*>(values.data()),
                                         {static_cast<int64_t>(values.size() * sizeof(T))},
                                         at::TensorOptions(at::kByte));
  return backend.Upload(bytes);
}

// Globals count from that of the first text on.
PlanOnDevice MakePlan(const Backend& backend, std::span<const GlobalsOfText> texts, int heads) {
  std::vector<cuda::GlobalRowsText> of_kernel;
  const int64_t first = texts.front().global_begin;
  for (const GlobalsOfText& text : texts) {
    of_kernel.push_back({.row_begin = static_cast<int>(text.row_begin),
                         .row_end = static_cast<int>(text.row_end),
                         .global_begin = static_cast<int>(text.global_begin - first),
                         .global_end = static_cast<int>(text.global_end - first)});
  }
  const cuda::GlobalRowsPlan plan = cuda::PlanGlobalRows(of_kernel, heads);
  return {.blocks = UploadBytes(backend, plan.blocks),
          .merges = plan.merges.empty() ? at::Tensor() : UploadBytes(backend, plan.merges),
          .num_blocks = static_cast<int>(plan.blocks.size()),
          .num_merges = static_cast<int>(plan.merges.size()),
          .num_parts = plan.num_parts};
}

const PlanOnDevice& PlanOf(const Backend& backend, std::span<const GlobalsOfText> texts, int heads,
                           const DeviceLayout& layout) {
  if (layout.kept_for_globals == nullptr) layout.kept_for_globals = std::make_shared<KeptPlans>();
  auto& plans = static_cast<KeptPlans&>(*layout.kept_for_globals).plans;
  const std::pair<int64_t, int64_t> rows(texts.front().row_begin, texts.back().row_end);
  const auto known = plans.find(rows);
  if (known != plans.end()) return known->second;
  return plans.emplace(rows, MakePlan(backend, texts, heads)).first->second;
}

}  // namespace

at::Tensor KernelBackend::AverageRows(const at::Tensor& u, const at::Tensor& hidden,
                                      std::span<const GlobalsOfText> texts,
                                      const DeviceLayout& layout) const {
  const int64_t width = hidden.size(1);
  const bool takes = cuda::IsStored(hidden.scalar_type()) && width % 8 == 0 &&
                     width <= cuda::kGlobalRowsMaxWidth && hidden.is_contiguous() &&
                     u.is_contiguous() && cuda::IsAligned(hidden) && cuda::IsAligned(u);
  if (!takes) return PortableBackend::AverageRows(u, hidden, texts, layout);
  const PlanOnDevice& plan = PlanOf(*this, texts, static_cast<int>(u.size(0)), layout);
  at::Tensor averages = at::empty(u.sizes(), u.options());
  const auto scratch_bytes =
      static_cast<int64_t>(cuda::GlobalRowsScratch(plan.num_parts, static_cast<int>(width)));
  const at::Tensor scratch = at::empty({scratch_bytes}, u.options().dtype(at::kByte));
  const cuda::GlobalRowsParams params{
      .hidden = hidden.const_data_ptr(),
      .u = u.const_data_ptr<float>(),
      .read = cuda::MaskOrNull(layout.read),
      .blocks = static_cast<const cuda::GlobalRowsBlock*>(plan.blocks.const_data_ptr()),
      .merges = static_cast<const cuda::GlobalRowsMerge*>(cuda::PointerOrNull(plan.merges)),
      .num_blocks = plan.num_blocks,
      .num_merges = plan.num_merges,
      .num_parts = plan.num_parts,
      .num_globals = static_cast<int>(u.size(1)),
      .width = static_cast<int>(width),
      .averages = averages.mutable_data_ptr<float>(),
      .scratch = scratch.mutable_data_ptr(),
      .storage = cuda::StorageOf(hidden)};
  cuda::CheckLaunch(cuda::GlobalRowAverages(params, stream()), "GlobalRowAverages");
  return averages;
}

}  // namespace longspan
