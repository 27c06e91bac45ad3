#include "core/models/reformer/embeddings.h"

#include <ATen/ops/div.h>
#include <ATen/ops/remainder.h>
#include <ATen/ops/tensor.h>

#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "core/backend/backend.h"
#include "core/runtime/parallel_blocks.h"

namespace longspan {
namespace {

// Rows that one thread embeds at a time. A row is a few copies, so a block must be large against
// the cost of handing it out.
constexpr int64_t kRowsABlock = 1024;

void Add(const float* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

}  // namespace

ReformerEmbeddings::ReformerEmbeddings(WeightMap& weights, const ReformerConfig& config,
                                       const Placement& placement)
    : config_(config), placement_(placement) {
  const int64_t E = config.hidden_size;
  const auto take = [&](const std::string& name, const std::vector<int64_t>& shape) {
    const at::Tensor table = weights.Take("embeddings." + name, shape);
    return placement.backend == nullptr ? table : placement.Store(table, at::kFloat);
  };
  words_ = take("word_embeddings.weight", {config.vocab_size, E});
  if (!config.axial) {
    positions_ = take("position_embeddings.embedding.weight", {config.max_position_embeddings, E});
    return;
  }
  axial_[0] =
      take("position_embeddings.weights.0", {config.axial_shape[0], 1, config.axial_widths[0]});
  axial_[1] =
      take("position_embeddings.weights.1", {1, config.axial_shape[1], config.axial_widths[1]});
}

void ReformerEmbeddings::AddPosition(int64_t position, float* row) const {
  if (!config_.axial)
    return Add(positions_.const_data_ptr<float>() + position * config_.hidden_size,
               config_.hidden_size, row);
  const int64_t l1 = config_.axial_shape[0], l2 = config_.axial_shape[1];
  const int64_t d1 = config_.axial_widths[0], d2 = config_.axial_widths[1];
  const bool row_major = config_.axial_order == AxialOrder::kRowMajor;
  const int64_t first = row_major ? position / l2 : position % l1;
  const int64_t second = row_major ? position % l2 : position / l1;
  Add(axial_[0].const_data_ptr<float>() + first * d1, d1, row);
  Add(axial_[1].const_data_ptr<float>() + second * d2, d2, row + d1);
}

void ReformerEmbeddings::Run(const PaddedBatch& batch, at::Tensor& x1, at::Tensor& x2) const {
  const int64_t E = config_.hidden_size;
  const float* words = words_.const_data_ptr<float>();
  float* out1 = x1.mutable_data_ptr<float>();
  float* out2 = x2.mutable_data_ptr<float>();
  for (const ChunkedText& text : batch.texts()) {
    ParallelBlocks((text.length + kRowsABlock - 1) / kRowsABlock, [&](int64_t block) {
      const int64_t end = std::min<int64_t>(text.length, (block + 1) * kRowsABlock);
      for (int64_t position = block * kRowsABlock; position < end; ++position) {
        const int64_t row = text.row_begin + position;
        std::memcpy(out1 + row * E, words + batch.token_ids()[row] * E, E * sizeof(float));
        AddPosition(position, out1 + row * E);
        std::memcpy(out2 + row * E, out1 + row * E, E * sizeof(float));
      }
    });
  }
}

at::Tensor ReformerEmbeddings::OnBackend(const PaddedBatch& batch) const {
  const Backend& backend = *placement_.backend;
  std::vector<int32_t> positions(batch.num_rows());
  for (const ChunkedText& text : batch.texts()) {
    const auto begin = positions.begin() + text.row_begin;
    std::iota(begin, begin + text.length, 0);
  }
  const at::Tensor position = backend.Upload(at::tensor(positions));  // [rows]
  at::Tensor x = backend.Gather(words_, backend.Upload(at::tensor(batch.token_ids())));
  if (!config_.axial) return x.add_(backend.Gather(positions_, position));
  const int64_t l1 = config_.axial_shape[0], l2 = config_.axial_shape[1];
  const int64_t d1 = config_.axial_widths[0], d2 = config_.axial_widths[1];
  const bool row_major = config_.axial_order == AxialOrder::kRowMajor;
  const at::Tensor slow = at::div(position, row_major ? l2 : l1, "floor");
  const at::Tensor fast = at::remainder(position, row_major ? l2 : l1);
  x.narrow(1, 0, d1).add_(backend.Gather(axial_[0].view({l1, d1}), row_major ? slow : fast));
  x.narrow(1, d1, d2).add_(backend.Gather(axial_[1].view({l2, d2}), row_major ? fast : slow));
  return x;
}

}  // namespace longspan
