#include "core/models/token_embeddings.h"

#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "core/models/take_layers.h"

namespace longspan {
namespace {

// Rows whose embeddings are added up together. Their sums (6 MiB for E = 768) stay in the cache
// until they are normalised.
constexpr int64_t kEmbeddingBlockRows = 2048;

}  // namespace

PositionRule PublishedPositions(const EncoderConfig& config) {
  if (!config.positions_behind_pad) return {};
  return {.first_row = config.pad_token_id + 1, .pad_token_id = config.pad_token_id};
}

std::vector<int64_t> PositionRows(const TokenBatch& batch, const PositionRule& rule) {
  std::vector<int64_t> rows;
  rows.reserve(batch.num_tokens());
  for (int32_t text = 0; text < batch.num_texts(); ++text) {
    int64_t count = 0;  // tokens of the text so far that count
    for (int64_t t = batch.cu_seqlens()[text]; t < batch.cu_seqlens()[text + 1]; ++t) {
      if (batch.token_ids()[t] == rule.pad_token_id) {
        rows.push_back(rule.pad_token_id);
        continue;
      }
      const bool repeats = rule.period > 0 && count > 0;
      rows.push_back(std::min(rule.last_row,
                              rule.first_row + (repeats ? 1 + (count - 1) % rule.period : count)));
      ++count;
    }
  }
  return rows;
}

TokenEmbeddings::TokenEmbeddings(WeightMap& weights, const Names& names,
                                 const EncoderConfig& config, const PositionRule& positions,
                                 const Placement& placement, double word_scale)
    : positions_(positions), placement_(placement) {
  tables_.words = weights.Take(names.word, {config.vocab_size, config.hidden_size});
  tables_.positions =
      weights.Take(names.position, {config.max_position_embeddings, config.hidden_size});
  if (config.type_vocab_size > 0)
    tables_.types = weights.Take(names.type, {config.type_vocab_size, config.hidden_size});
  tables_.word_scale = word_scale;
  for (at::Tensor* table : {&tables_.words, &tables_.positions, &tables_.types})
    *table = placement.Keep(*table);
  norm_ = TakeLayerNorm(weights, names.norm, config.hidden_size, config.layer_norm_eps, placement);
}

at::Tensor TokenEmbeddings::OnBackend(const TokenBatch& batch) const {
  const Backend& backend = *placement_.backend;
  EmbeddingRows rows{.words = backend.Upload(at::tensor(batch.token_ids())),
                     .positions = placement_.Rows(PositionRows(batch, positions_)).to(at::kInt)};
  if (!batch.token_types().empty() && tables_.types.defined())
    rows.types = backend.Upload(at::tensor(batch.token_types()));
  return backend.Embed(tables_, rows, norm_.weights());
}

at::Tensor TokenEmbeddings::operator()(const TokenBatch& batch) const {
  if (placement_.backend != nullptr) return OnBackend(batch);
  const at::Tensor &words = tables_.words, &types = tables_.types;
  const int64_t num_tokens = batch.num_tokens();
  std::vector<int64_t> position_rows = PositionRows(batch, positions_);
  const at::Tensor positions = at::from_blob(position_rows.data(), {num_tokens}, at::kLong);
  const at::Tensor ids =
      at::from_blob(const_cast<int32_t*>(batch.token_ids().data()), {num_tokens}, at::kInt);
  const bool all_zero = batch.token_types().empty();
  const at::Tensor type_of =
      all_zero || !types.defined()
          ? at::Tensor()
          : at::from_blob(const_cast<int32_t*>(batch.token_types().data()), {num_tokens}, at::kInt);
  const at::Tensor type_0 = types.defined() ? types.select(0, 0) : at::Tensor();
  at::Tensor out = at::empty({num_tokens, words.size(1)}, at::kFloat);
  for (int64_t begin = 0; begin < num_tokens; begin += kEmbeddingBlockRows) {
    const int64_t end = std::min(begin + kEmbeddingBlockRows, num_tokens);
    at::Tensor rows = at::embedding(words, ids.slice(0, begin, end));
    if (tables_.word_scale != 1) rows.mul_(tables_.word_scale);
    rows.add_(at::embedding(tables_.positions, positions.slice(0, begin, end)));
    if (type_of.defined()) {
      rows.add_(at::embedding(types, type_of.slice(0, begin, end)));
    } else if (type_0.defined()) {
      rows.add_(type_0);
    }
    at::Tensor normed = out.slice(0, begin, end);
    norm_.Run(rows, /*residual=*/{}, normed);
  }
  return out;
}

}  // namespace longspan
