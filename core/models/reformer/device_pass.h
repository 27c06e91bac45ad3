// DevicePass: a Reformer's pass on a backend. Which texts are still in, where their rows lie, and
// what the layers are told of them (ReformerPass).
//
// Rows lie ordered by how their texts are hashed, so that texts that share rotations are neighbours
// and run together (core/backend/chunk_run.h). Example, chunks of 64, number of buckets by length:
//   texts of 128 256 30 128 tokens  ->  rows of 30 | 128 128 | 256: runs [30 128 128] and [256]
//
// A text that is dropped takes its rows along, and what the backend knows of the others is uploaded
// anew. Lives for one pass on one thread; the batch and the config must outlive it. Proven by
// batch_mixes_test and reformer_device_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "core/layers/placement.h"
#include "core/models/reformer/config.h"
#include "core/models/reformer/hashing.h"
#include "core/models/reformer/layer.h"
#include "core/models/reformer/padded_batch.h"
#include "core/token_batch.h"

namespace longspan {

class DevicePass {
 public:
  DevicePass(const TokenBatch& batch, const ReformerConfig& config, const Placement& placement,
             DeviceRotationCache& rotations);

  // All texts with their padding, as the rows lie at first.
  const PaddedBatch& padded() const { return padded_; }
  // Keeps these texts, ascending numbers in the batch, of those that are still in: takes the rows
  // of the others out of both streams, and tells `pass` what the layers need. Uploads only where
  // something has changed.
  void Keep(const std::vector<int32_t>& texts, at::Tensor& x1, at::Tensor& x2, ReformerPass& pass);

  // The rows of x without padding, text after text as they stand in the batch.
  at::Tensor WithoutPadding(const at::Tensor& x) const;
  // [B], the first row of each text; 0 for a text that was dropped.
  std::vector<int64_t> text_begin() const;

 private:
  struct Text {
    int32_t text = 0;  // index in the batch
    ChunkedText rows;
    std::shared_ptr<const DeviceRotations> rotations;  // null = it is not hashed
  };
  void TakeOut(const std::vector<int32_t>& texts, at::Tensor& x1, at::Tensor& x2);
  void Upload(ReformerPass& pass) const;

  const TokenBatch& batch_;
  const ReformerConfig& config_;
  const Backend& backend_;
  const PaddedBatch padded_;
  std::vector<Text> texts_;        // that are still in, in the order of their rows
  std::vector<uint8_t> key_mask_;  // [rows], of those; empty = all are read
  bool is_uploaded_ = false;
};

}  // namespace longspan
