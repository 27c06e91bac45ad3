#include "core/models/reformer/device_pass.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/ne.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "core/backend/backend.h"

namespace longspan {
namespace {

// The texts of a batch, those that are hashed alike beside each other.
std::vector<int32_t> RowOrder(const TokenBatch& batch, const ReformerConfig& config) {
  std::vector<int32_t> order(batch.num_texts());
  std::iota(order.begin(), order.end(), 0);
  if (!config.Has(ReformerConfig::LayerKind::kLsh)) return order;
  std::vector<std::optional<TextHashing>> hashing;
  hashing.reserve(batch.num_texts());
  for (int32_t text = 0; text < batch.num_texts(); ++text) {
    hashing.push_back(HashingOf(config, config.PaddedLength(batch.length(text)), batch.lsh(text)));
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return hashing[a] < hashing[b]; });
  return order;
}

}  // namespace

DevicePass::DevicePass(const TokenBatch& batch, const ReformerConfig& config,
                       const Placement& placement, DeviceRotationCache& rotations)
    : batch_(batch),
      config_(config),
      backend_(*placement.backend),
      padded_(batch, config, RowOrder(batch, config)),
      key_mask_(padded_.key_mask()) {
  for (int32_t text = 0; text < batch.num_texts(); ++text) {
    Text placed{.text = text, .rows = padded_.texts()[text]};
    if (config.Has(ReformerConfig::LayerKind::kLsh)) {
      const auto hashing = HashingOf(config, placed.rows.length, batch.lsh(text));
      if (hashing.has_value()) placed.rotations = rotations.For(*hashing);
    }
    texts_.push_back(std::move(placed));
  }
  std::sort(texts_.begin(), texts_.end(),
            [](const Text& a, const Text& b) { return a.rows.row_begin < b.rows.row_begin; });
}

void DevicePass::Keep(const std::vector<int32_t>& texts, at::Tensor& x1, at::Tensor& x2,
                      ReformerPass& pass) {
  const bool all = texts.size() == texts_.size();
  if (!all) TakeOut(texts, x1, x2);
  if (!all || !is_uploaded_) Upload(pass);
  is_uploaded_ = true;
}

void DevicePass::TakeOut(const std::vector<int32_t>& texts, at::Tensor& x1, at::Tensor& x2) {
  std::vector<Text> kept;
  std::vector<uint8_t> mask;
  std::vector<at::Tensor> rows1, rows2;
  int64_t row = 0;
  for (Text& text : texts_) {
    if (!std::binary_search(texts.begin(), texts.end(), text.text)) continue;
    const int64_t begin = text.rows.row_begin, length = text.rows.length;
    rows1.push_back(x1.narrow(0, begin, length));
    rows2.push_back(x2.narrow(0, begin, length));
    if (!key_mask_.empty())
      mask.insert(mask.end(), key_mask_.begin() + begin, key_mask_.begin() + begin + length);
    text.rows.row_begin = row;
    row += length;
    kept.push_back(std::move(text));
  }
  x1 = at::cat(rows1);
  x2 = at::cat(rows2);
  texts_ = std::move(kept);
  key_mask_ = std::move(mask);
}

void DevicePass::Upload(ReformerPass& pass) const {
  std::vector<ChunkedText> rows;
  std::vector<const DeviceRotations*> rotations;
  for (const Text& text : texts_) {
    rows.push_back(text.rows);
    rotations.push_back(text.rotations.get());
  }
  at::Tensor read;
  if (std::find(key_mask_.begin(), key_mask_.end(), 0) != key_mask_.end())
    read = backend_.Upload(at::tensor(key_mask_).ne(0));
  if (config_.Has(ReformerConfig::LayerKind::kLocal))
    pass.local_runs = UploadChunkRuns(backend_, config_.local, rows, read);
  if (config_.Has(ReformerConfig::LayerKind::kLsh))
    pass.lsh_runs = UploadChunkRuns(backend_, config_.lsh, rows, read, rotations);
}

at::Tensor DevicePass::WithoutPadding(const at::Tensor& x) const {
  std::vector<const Text*> in_batch_order;
  in_batch_order.reserve(texts_.size());
  for (const Text& text : texts_) in_batch_order.push_back(&text);
  std::sort(in_batch_order.begin(), in_batch_order.end(),
            [](const Text* a, const Text* b) { return a->text < b->text; });
  std::vector<at::Tensor> parts;
  parts.reserve(texts_.size());
  for (const Text* text : in_batch_order)
    parts.push_back(x.narrow(0, text->rows.row_begin, batch_.length(text->text)));
  return at::cat(parts);
}

std::vector<int64_t> DevicePass::text_begin() const {
  std::vector<int64_t> begin(batch_.num_texts(), 0);
  for (const Text& text : texts_) begin[text.text] = text.rows.row_begin;
  return begin;
}

}  // namespace longspan
