#include "core/models/bigbird/padded_texts.h"

#include <ATen/ops/cat.h>

#include <span>

namespace longspan {

TokenBatch PadLongTexts(const TokenBatch& batch, const PaddingRule& rule) {
  TokenBatch padded;
  for (int32_t text = 0; text < batch.num_texts(); ++text) {
    const int64_t begin = batch.cu_seqlens()[text], n = batch.length(text);
    const std::vector<int32_t>& all = batch.token_ids();
    std::vector<int32_t> ids(all.begin() + begin, all.begin() + begin + n);
    std::vector<uint8_t> mask;
    if (!batch.attention_mask().empty()) {
      mask.assign(batch.attention_mask().begin() + begin,
                  batch.attention_mask().begin() + begin + n);
    }
    const int64_t missing =
        n > rule.full_up_to ? (rule.block_size - n % rule.block_size) % rule.block_size : 0;
    std::vector<int32_t> types;
    if (!batch.token_types().empty()) {
      types.assign(batch.token_types().begin() + begin, batch.token_types().begin() + begin + n);
      types.resize(n + missing, 0);
    }
    if (missing > 0) {
      mask.resize(n, 1);
      mask.resize(n + missing, 0);
      ids.resize(n + missing, rule.pad_token_id);
    }
    padded.Add({.token_ids = ids, .attention_mask = mask, .token_types = types});
  }
  return padded;
}

ForwardOptions ObserveWithoutPadding(const ForwardOptions& options, const TokenBatch& batch,
                                     const TokenBatch& padded) {
  ForwardOptions inner = options;
  if (!options.observe_layer) return inner;
  inner.observe_layer = [&options, &batch, &padded](int layer, const at::Tensor& hidden) {
    if (hidden.size(0) != padded.num_tokens()) return options.observe_layer(layer, hidden);
    std::vector<at::Tensor> rows;
    rows.reserve(batch.num_texts());
    for (int32_t text = 0; text < batch.num_texts(); ++text) {
      rows.push_back(hidden.narrow(0, padded.cu_seqlens()[text], batch.length(text)));
    }
    options.observe_layer(layer, at::cat(rows));
  };
  return inner;
}

}  // namespace longspan
