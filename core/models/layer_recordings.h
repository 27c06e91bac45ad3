// LayerRecordings: the runs of a model's layers that a backend has recorded (CUDA graphs). Handing
// over each operation of a small pass takes the host longer than the device takes to compute it; a
// recorded run is one call.
//
// A recording is of one shape: lengths, globals, mask, and whether only first rows are wanted
// (PackedPass::Shape). Shapes that come again are recorded at their second time: lone queries of a
// few dozen tokens come again all the time, batches of many texts hardly ever do. What is recorded
// is compared, once and bit for bit, with the run that was made of single operations; if it gives
// something else, or cannot be recorded, the shape keeps to single operations.
//
//   a text of 12 tokens      -> single operations; noted
//   another one of 12        -> single operations, then recorded and compared
//   any further one of 12    -> repeated
//
// There are no seams between the layers of a repeated run: dropped texts leave before it.
//
// Thread safe. Proven by layer_recordings_test, and on a card by tests/cuda/backend_check.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "core/backend/backend.h"
#include "core/backend/upload_log.h"
#include "core/models/packed_pass.h"
#include "core/recording_counts.h"

namespace longspan {

class LayerRecordings {
 public:
  // All layers: x [T, E] becomes what the last one gives.
  using Layers = std::function<at::Tensor(PackedPass& pass, at::Tensor x)>;

  // Above so many rows the device computes longer than the host takes to hand over the operations.
  static constexpr int64_t kMostRows = 8192;
  // Recordings that are kept, and shapes that are remembered.
  static constexpr size_t kMostRecordings = 64;
  static constexpr size_t kMostShapes = 256;

  explicit LayerRecordings(const Placement& placement) : backend_(placement.backend) {}

  // What the layers give for x; nullopt = run them. Not for passes that are observed. `layers` must
  // hold until this is destroyed.
  std::optional<at::Tensor> TryRun(const PackedPass& pass, const at::Tensor& x,
                                   const Layers& layers);
  // Gives the device's memory back.
  void Clear();

  RecordingCounts counts() const;  // since it was made

 private:
  struct Recorded {
    UploadLog uploads;  // read by the recording
    std::unique_ptr<Recording> recording;
  };
  struct Entry {
    std::string shape;
    std::shared_ptr<const Recorded> recorded;
    bool refused = false;
  };

  // Moves the entry to the front; null = the shape was not known.
  Entry* Find(const std::string& shape);
  // Runs the layers by single operations, and records them for the next time.
  at::Tensor RunAndRecord(const PackedPass& pass, const at::Tensor& x, const Layers& layers,
                          Entry& entry);
  void DropOldest();

  const Backend* const backend_;
  mutable std::mutex mu_;     // guards all below
  std::list<Entry> entries_;  // the one that was used last first
  RecordingCounts counts_;
};

}  // namespace longspan
