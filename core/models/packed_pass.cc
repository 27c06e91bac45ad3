#include "core/models/packed_pass.h"

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>

#include <algorithm>
#include <utility>

#include "core/attention/upload_layout.h"
#include "core/kernels/key_mask.h"
#include "core/kernels/sliding_window_attention.h"

namespace longspan {

PackedPass::PackedPass(const TokenBatch& batch, const ForwardOptions& options,
                       const Placement& placement)
    : batch_(&batch),
      options_(&options),
      placement_(placement),
      cu_seqlens_(batch.cu_seqlens()),
      mask_(batch.attention_mask()),
      first_row_only_(options.first_row_only) {
  TORCH_CHECK(placement.backend == nullptr || options.observe_attention == nullptr,
              "attention is observed on the CPU alone");
  cu_globals_ = {0};
  for (int32_t text = 0; text < batch.num_texts(); ++text) {
    texts_.push_back(text);
    for (int32_t g = batch.cu_globals()[text]; g < batch.cu_globals()[text + 1]; ++g) {
      const int32_t row = batch.globals()[g];
      if (mask_.empty() || kernels::IsSeen(mask_[row])) globals_.push_back(row);
    }
    cu_globals_.push_back(static_cast<int32_t>(globals_.size()));
  }
}

int64_t PackedPass::RowsPerPause() {
  return at::get_num_threads() == 1 ? kRowsPerPauseOfThread : kRowsPerPauseOfTeam;
}

void PackedPass::AtSeam() const {
  if (options_->at_seam) options_->at_seam();
}

absl::Status PackedPass::DropTexts(at::Tensor& hidden) {
  if (stopped_) return absl::CancelledError("every text of the batch was dropped");
  AtSeam();
  if (!options_->is_dropped) return absl::OkStatus();
  std::vector<int32_t> kept;
  for (int32_t position = 0; position < static_cast<int32_t>(texts_.size()); ++position) {
    if (!options_->is_dropped(texts_[position])) kept.push_back(position);
  }
  if (kept.empty()) return absl::CancelledError("every text of the batch was dropped");
  if (kept.size() < texts_.size()) KeepTexts(kept, hidden);
  return absl::OkStatus();
}

bool PackedPass::Continue() const {
  AtSeam();
  if (!options_->is_dropped) return true;
  stopped_ = std::all_of(texts_.begin(), texts_.end(),
                         [&](int32_t text) { return options_->is_dropped(text); });
  return !stopped_;
}

void PackedPass::KeepTexts(const std::vector<int32_t>& positions, at::Tensor& hidden) {
  PackedPass rest = *this;
  rest.texts_.clear();
  rest.cu_seqlens_ = {0};
  rest.globals_.clear();
  rest.cu_globals_ = {0};
  rest.mask_.clear();
  rest.first_row_only_.clear();
  std::vector<at::Tensor> rows;
  for (int32_t position : positions) {
    const int32_t begin = cu_seqlens_[position];
    const int32_t end = cu_seqlens_[position + 1];
    const int32_t shift = rest.cu_seqlens_.back() - begin;  // where the rows move, at most 0
    rest.texts_.push_back(texts_[position]);
    if (!first_row_only_.empty()) rest.first_row_only_.push_back(first_row_only_[position]);
    rest.cu_seqlens_.push_back(end + shift);
    for (int32_t g = cu_globals_[position]; g < cu_globals_[position + 1]; ++g)
      rest.globals_.push_back(globals_[g] + shift);
    rest.cu_globals_.push_back(static_cast<int32_t>(rest.globals_.size()));
    if (!mask_.empty())
      rest.mask_.insert(rest.mask_.end(), mask_.begin() + begin, mask_.begin() + end);
    rows.push_back(hidden.slice(0, begin, end));
  }
  hidden = at::cat(rows);
  uploaded_.clear();
  texts_ = std::move(rest.texts_);
  cu_seqlens_ = std::move(rest.cu_seqlens_);
  globals_ = std::move(rest.globals_);
  cu_globals_ = std::move(rest.cu_globals_);
  mask_ = std::move(rest.mask_);
  first_row_only_ = std::move(rest.first_row_only_);
}

void PackedPass::PlaceOnce(const LayoutKey& key, PackedLayout& layout) {
  if (placement_.backend == nullptr) return;
  std::shared_ptr<const DeviceLayout>& device = uploaded_[key];
  if (device == nullptr) {
    // One of the same texts with other windows.
    const auto like = std::find_if(uploaded_.begin(), uploaded_.end(), [&](const auto& entry) {
      const bool same_kind = (entry.first.dense_up_to < 0) == (key.dense_up_to < 0);
      return entry.second != nullptr && same_kind && entry.first.begin == key.begin &&
             entry.first.end == key.end;
    });
    device = std::make_shared<const DeviceLayout>(UploadLayout(
        *placement_.backend, layout, like == uploaded_.end() ? nullptr : like->second.get()));
  }
  layout.device = device.get();
}

void PackedPass::Place(PackedLayout& layout) {
  if (placement_.backend == nullptr) return;
  placed_ = std::make_shared<const DeviceLayout>(UploadLayout(*placement_.backend, layout));
  layout.device = placed_.get();
}

PackedLayout PackedPass::Part(int64_t begin, int64_t end, int64_t window) {
  const int32_t first = cu_seqlens_[begin];
  part_seqlens_.clear();
  for (int64_t text = begin; text <= end; ++text)
    part_seqlens_.push_back(cu_seqlens_[text] - first);
  windows_.assign(end - begin, window);
  PackedLayout layout;
  layout.cu_seqlens = part_seqlens_;
  layout.windows = windows_;
  if (!mask_.empty()) layout.key_mask = std::span(mask_).subspan(first, cu_seqlens_[end] - first);
  layout.observer = options_->observe_attention;
  PlaceOnce({.window = window, .dense_up_to = -1, .begin = begin, .end = end}, layout);
  return layout;
}

PackedLayout PackedPass::Layout(int64_t window, int64_t dense_up_to) {
  windows_.clear();
  for (int64_t position = 0; position < num_texts(); ++position) {
    windows_.push_back(length(position) <= dense_up_to ? kernels::kUnlimitedWindow : window);
  }
  PackedLayout layout;
  layout.cu_seqlens = cu_seqlens_;
  layout.windows = windows_;
  layout.globals = globals_;
  if (has_globals()) layout.cu_globals = cu_globals_;
  layout.key_mask = mask_;
  layout.observer = options_->observe_attention;
  PlaceOnce({.window = window, .dense_up_to = dense_up_to, .end = num_texts()}, layout);
  return layout;
}

at::Tensor PackedPass::FirstRows(const at::Tensor& x) const {
  return x.index_select(0, placement_.Rows({cu_seqlens_.begin(), cu_seqlens_.end() - 1}));
}

bool PackedPass::first_row_only() const {
  return !first_row_only_.empty() && std::all_of(first_row_only_.begin(), first_row_only_.end(),
                                                 [](bool only) { return only; });
}

std::string PackedPass::Shape() const {
  std::string shape;
  const auto add = [&shape](const auto& values) {
    const auto size = static_cast<int64_t>(values.size());
    shape.append(reinterpret_cast<const char*>(&size), sizeof size);
    shape.append(reinterpret_cast<const char*>(values.data()), size * sizeof values[0]);
  };
  add(cu_seqlens_);
  add(globals_);
  add(cu_globals_);
  add(mask_);
  shape.push_back(first_row_only() ? 1 : 0);
  return shape;
}

PackedPass PackedPass::Unattended() const {
  static const ForwardOptions nobody;
  PackedPass pass = *this;
  pass.batch_ = nullptr;
  pass.options_ = &nobody;
  pass.uploaded_.clear();
  pass.placed_.reset();
  return pass;
}

void PackedPass::Observe(int layer, const at::Tensor& hidden) const {
  if (options_->observe_layer) options_->observe_layer(layer, hidden);
}

HiddenStates PackedPass::Result(at::Tensor hidden, RowFunction last) const {
  const bool one_row_per_text = hidden.size(0) != num_rows();
  std::vector<int64_t> text_begin(batch_->num_texts(), 0);
  for (int64_t position = 0; position < num_texts(); ++position) {
    text_begin[texts_[position]] = one_row_per_text ? position : cu_seqlens_[position];
  }
  if (placement_.backend != nullptr) {
    DeviceRows on_device{placement_.backend, std::move(hidden), std::move(last)};
    return HiddenStates(std::move(on_device), std::move(text_begin));
  }
  auto rows = [hidden = std::move(hidden), last = std::move(last)](int64_t begin, int64_t end) {
    const at::Tensor block = hidden.slice(0, begin, end);
    return (last ? last(block) : block).to(at::kFloat);
  };
  return HiddenStates(std::move(rows), std::move(text_begin));
}

}  // namespace longspan
