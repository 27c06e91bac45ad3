#include "core/layers/rope.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/pow.h>

#include <algorithm>
#include <bit>

#include "core/kernels/rope.h"
#include "core/layers/element_type_of.h"

namespace longspan {

// The angles are float32 products, as in transformers. Computed in double they would differ by 3e-4
// at position 8,192.
RotaryEmbedding::RotaryEmbedding(int64_t head_size, double theta) : head_size_(head_size) {
  TORCH_CHECK(head_size % 2 == 0, "rotary embedding needs an even head size, got ", head_size);
  const at::Tensor exponents =
      at::arange(0, head_size, 2, at::kFloat).div(static_cast<double>(head_size));
  inverse_frequencies_ = at::pow(theta, exponents).reciprocal();
}

std::shared_ptr<const RotaryEmbedding::Table> RotaryEmbedding::TableFor(
    int64_t num_positions) const {
  const std::lock_guard lock(cache_->mu);
  if (cache_->table == nullptr || cache_->table->cos.size(0) < num_positions) {
    // A power of two, so that the table grows seldom.
    const int64_t size = static_cast<int64_t>(
        std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(512, num_positions))));
    const at::Tensor angles =
        at::outer(at::arange(size, at::kFloat), inverse_frequencies_);  // [positions, D/2]
    cache_->table = std::make_shared<Table>(Table{angles.cos(), angles.sin()});
  }
  return cache_->table;
}

void RotaryEmbedding::Apply(at::Tensor& qkv, std::span<const int32_t> cu_seqlens) const {
  TORCH_CHECK(
      qkv.dim() == 4 && qkv.size(1) == 3 && qkv.size(3) == head_size_ && qkv.is_contiguous(),
      "rotary embedding takes a contiguous [T, 3, H, ", head_size_, "], got ", qkv.sizes());
  TORCH_CHECK(!cu_seqlens.empty() && cu_seqlens.back() == qkv.size(0),
              "cu_seqlens does not end at ", qkv.size(0), " tokens");
  int64_t longest = 0;
  for (size_t i = 1; i < cu_seqlens.size(); ++i)
    longest = std::max<int64_t>(longest, cu_seqlens[i] - cu_seqlens[i - 1]);
  const std::shared_ptr<const Table> table = TableFor(longest);
  kernels::RopeParams params;
  params.type = ElementTypeOf(qkv);
  params.x = qkv.data_ptr();
  params.token_stride = qkv.stride(0);
  params.num_heads = 2 * qkv.size(2);  // q's heads, then k's
  params.head_size = head_size_;
  params.cos = table->cos.const_data_ptr<float>();
  params.sin = table->sin.const_data_ptr<float>();
  params.num_texts = static_cast<int32_t>(cu_seqlens.size()) - 1;
  params.cu_seqlens = cu_seqlens.data();
  kernels::Rope(params);
}

}  // namespace longspan
