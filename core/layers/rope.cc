#include "core/layers/rope.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/outer.h>

#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

#include "core/backend/backend.h"
#include "core/kernels/rope.h"
#include "core/layers/element_type_of.h"

namespace longspan {

// The angles are float32 products, as in transformers. Computed in double they would differ by 3e-4
// at position 8,192.
RotaryEmbedding::RotaryEmbedding(int64_t head_size, const RopeScaling& scaling,
                                 const Placement& placement)
    : head_size_(head_size), scaling_(scaling), placement_(placement) {
  TORCH_CHECK(head_size % 2 == 0, "rotary embedding needs an even head size, got ", head_size);
  short_->inverse = RopeFrequencies(scaling, head_size, /*long_text=*/false);
  long_->inverse = RopeFrequencies(scaling, head_size, /*long_text=*/true);
}

std::shared_ptr<const RotaryEmbedding::Table> RotaryEmbedding::TableFor(
    Frequencies& frequencies, int64_t num_positions) const {
  const std::lock_guard lock(frequencies.mu);
  if (frequencies.table == nullptr || frequencies.table->cos.size(0) < num_positions) {
    // A power of two, so that the table grows seldom.
    const int64_t size = static_cast<int64_t>(
        std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(512, num_positions))));
    const at::Tensor angles =
        at::outer(at::arange(size, at::kFloat), frequencies.inverse);  // [positions, D/2]
    Table table{angles.cos().mul_(scaling_.attention_factor),
                angles.sin().mul_(scaling_.attention_factor)};
    if (placement_.backend != nullptr)
      table = {placement_.backend->Upload(table.cos), placement_.backend->Upload(table.sin)};
    // Recorded runs go on to read the table that was there before them.
    if (placement_.backend != nullptr && frequencies.table != nullptr)
      frequencies.older.push_back(std::move(frequencies.table));
    frequencies.table = std::make_shared<Table>(std::move(table));
  }
  return frequencies.table;
}

void RotaryEmbedding::Apply(at::Tensor& qkv, std::span<const int32_t> cu_seqlens,
                            const DeviceLayout* layout) const {
  TORCH_CHECK(
      qkv.dim() == 4 && qkv.size(1) == 3 && qkv.size(3) == head_size_ && qkv.is_contiguous(),
      "rotary embedding takes a contiguous [T, 3, H, ", head_size_, "], got ", qkv.sizes());
  TORCH_CHECK(!cu_seqlens.empty() && cu_seqlens.back() == qkv.size(0),
              "cu_seqlens does not end at ", qkv.size(0), " tokens");
  at::Tensor positions;
  if (placement_.backend != nullptr)
    positions =
        layout != nullptr ? layout->positions : placement_.Rows(PositionsInTexts(cu_seqlens));
  const auto is_long = [&](size_t text) {
    return scaling_.IsLong(cu_seqlens[text + 1] - cu_seqlens[text]);
  };
  const size_t num_texts = cu_seqlens.size() - 1;
  for (size_t begin = 0, end = 0; begin < num_texts; begin = end) {
    while (end < num_texts && is_long(end) == is_long(begin)) ++end;
    ApplyToTexts(qkv, cu_seqlens.subspan(begin, end - begin + 1), is_long(begin), positions);
  }
}

void RotaryEmbedding::ApplyToTexts(at::Tensor& qkv, std::span<const int32_t> cu_seqlens,
                                   bool long_texts, const at::Tensor& positions) const {
  const int32_t first = cu_seqlens.front();
  int64_t longest = 0;
  std::vector<int32_t> borders;  // counted from the first of these texts
  for (size_t i = 0; i < cu_seqlens.size(); ++i) {
    borders.push_back(cu_seqlens[i] - first);
    if (i > 0) longest = std::max<int64_t>(longest, cu_seqlens[i] - cu_seqlens[i - 1]);
  }
  const std::shared_ptr<const Table> table = TableFor(long_texts ? *long_ : *short_, longest);
  at::Tensor rows = qkv.slice(0, first, cu_seqlens.back());
  if (placement_.backend != nullptr) {
    placement_.backend->Rotate(rows, table->cos, table->sin,
                               positions.slice(0, first, cu_seqlens.back()));
    return;
  }
  kernels::RopeParams params;
  params.type = ElementTypeOf(qkv);
  params.x = rows.data_ptr();
  params.token_stride = qkv.stride(0);
  params.num_heads = 2 * qkv.size(2);  // q's heads, then k's
  params.head_size = head_size_;
  params.cos = table->cos.const_data_ptr<float>();
  params.sin = table->sin.const_data_ptr<float>();
  params.num_texts = static_cast<int32_t>(borders.size()) - 1;
  params.cu_seqlens = borders.data();
  kernels::Rope(params);
}

}  // namespace longspan
