// WeightMap: the weights of one checkpoint by their bare names, with strict accounting: a weight
// that is missing, has another shape, or is left over after loading is an error that names it. Task
// prefixes ("longformer.", "bert.", ...) are stripped, LayerNorm gamma/beta renamed, and heads and
// buffers that an encoder does not read are ignored by pattern.
//
//   WeightMap::Open(folder, {.prefixes = {"longformer.", "roberta."}, .ignored = {"lm_head.*", "embeddings.position_ids"}})
//   at::Tensor w = weights.Take("encoder.layer.0.output.dense.weight", {768, 3072}, &status)     // float32
//   weights.Finish()                                                                             // error if any is left over
//
// Not thread safe; lives only while a model is built.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/weights/safetensors_reader.h"

namespace longspan {

class WeightMap {
 public:
  struct Rules {
    std::vector<std::string>
        // tried in order: the first that some name of the file carries is stripped from all
        prefixes;
    std::vector<std::string>
        // bare names or patterns with '*' (any run of characters) that may be present and unread
        ignored;
  };
  static absl::StatusOr<WeightMap> Open(const std::vector<std::string>& files, const Rules& rules);

  bool Contains(std::string_view name) const;
  std::vector<int64_t> Shape(std::string_view name) const;  // empty if absent

  // The weight as a contiguous float32 tensor (F16, BF16, F64 converted; float32 is copied out of
  // the mapping, so that the file can be unmapped). On a missing weight or another shape returns an
  // undefined tensor and records the error; later calls go on, and Finish reports the first. -1 in
  // `shape` accepts any size there.
  at::Tensor Take(std::string_view name, const std::vector<int64_t>& shape);
  // Like Take, for the matrix of a linear layer: may also be stored as int8 (int8_weights.h).
  at::Tensor TakeMatrix(std::string_view name, const std::vector<int64_t>& shape);
  // Like Take, but an absent weight gives an undefined tensor without error.
  at::Tensor TakeOptional(std::string_view name, const std::vector<int64_t>& shape);

  // First error of any Take, else an error naming the weights that were neither taken nor ignored.
  absl::Status Finish() const;

  int64_t num_parameters() const { return num_parameters_; }  // elements taken so far

 private:
  struct Entry {
    const StoredTensor* tensor = nullptr;
    const SafetensorsReader* reader = nullptr;
    bool taken = false;
  };
  std::string FindPrefix(const std::vector<std::string>& prefixes) const;
  at::Tensor TakeInt8(std::string_view name, Entry& entry);
  at::Tensor Refuse(std::string_view name,
                    const std::string& why);  // records the error, gives an undefined tensor

  std::vector<std::unique_ptr<SafetensorsReader>> readers_;
  std::map<std::string, Entry, std::less<>> entries_;
  std::vector<std::string> ignored_;
  absl::Status first_error_;
  int64_t num_parameters_ = 0;
  std::string source_;  // first file's path, for errors
};

}  // namespace longspan
