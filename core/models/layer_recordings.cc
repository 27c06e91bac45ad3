#include "core/models/layer_recordings.h"

#include <ATen/ops/equal.h>
#include <c10/util/Exception.h>

#include <utility>

namespace longspan {

std::optional<at::Tensor> LayerRecordings::TryRun(const PackedPass& pass, const at::Tensor& x,
                                                  const Layers& layers) {
  if (backend_ == nullptr || !backend_->records() || x.size(0) > kMostRows) return std::nullopt;
  const std::string shape = pass.Shape();
  std::shared_ptr<const Recorded> recorded;
  {
    const std::lock_guard lock(mu_);
    Entry* const entry = Find(shape);
    if (entry == nullptr) {
      entries_.push_front({.shape = shape});
      if (entries_.size() > kMostShapes) entries_.pop_back();
      return std::nullopt;
    }
    if (entry->refused) return std::nullopt;
    if (entry->recorded == nullptr) return RunAndRecord(pass, x, layers, *entry);
    recorded = entry->recorded;
    ++counts_.repeated;
  }
  return recorded->recording->Repeat(x);
}

LayerRecordings::Entry* LayerRecordings::Find(const std::string& shape) {
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    if (entry->shape != shape) continue;
    entries_.splice(entries_.begin(), entries_, entry);
    return &entries_.front();
  }
  return nullptr;
}

at::Tensor LayerRecordings::RunAndRecord(const PackedPass& pass, const at::Tensor& x,
                                         const Layers& layers, Entry& entry) {
  auto recorded = std::make_shared<Recorded>();
  at::Tensor want;
  {
    const UploadLog::Writing writing(recorded->uploads, *backend_);
    PackedPass once = pass.Unattended();
    want = layers(once, x.clone());
  }
  try {
    const auto again = std::make_shared<const PackedPass>(pass.Unattended());
    const RowRun run = [again, layers](at::Tensor rows) {
      PackedPass same = *again;
      return layers(same, std::move(rows));
    };
    {
      const UploadLog::Reading reading(recorded->uploads, *backend_);
      recorded->recording = backend_->Record(x, run);
    }
    TORCH_CHECK(at::equal(recorded->recording->Repeat(x), want), "the recording gives other rows");
    entry.recorded = std::move(recorded);
    ++counts_.recorded;
    DropOldest();
  } catch (const c10::Error&) {
    entry.refused = true;  // a device that is lost says so again at its next operation
    ++counts_.refused;
  }
  return want;
}

// Keeps the shapes, so that they are recorded anew when they come again.
void LayerRecordings::DropOldest() {
  size_t kept = 0;
  for (Entry& entry : entries_) {
    if (entry.recorded != nullptr && ++kept > kMostRecordings) entry.recorded.reset();
  }
}

void LayerRecordings::Clear() {
  const std::lock_guard lock(mu_);
  entries_.clear();
}

RecordingCounts LayerRecordings::counts() const {
  const std::lock_guard lock(mu_);
  return counts_;
}

}  // namespace longspan
