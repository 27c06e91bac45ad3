// WeightMap: the weights of one checkpoint by their bare names, with strict accounting. A weight
// that is missing, has another shape, holds NaN or Inf, or is left over after loading is an error
// that names it.
//
// The prefix of the task model ("longformer.", "bert.", ...) is stripped from the names and
// LayerNorm's gamma and beta are renamed to weight and bias. Heads and buffers that an encoder does
// not read are ignored by pattern.
//
//   absl::StatusOr<WeightMap> weights =
//       WeightMap::Open(files, {.prefixes = {"bert.", "roberta."}, .ignored = {"lm_head.*"}});
//   if (!weights.ok()) return weights.status();
//   const at::Tensor weight = weights->Take("encoder.layer.0.output.dense.weight", {2, 3});
//   if (absl::Status status = weights->Finish(); !status.ok()) return status;
//   return weight;  // [2, 3], float32
//
// weight_map_test compiles and runs these lines. Not thread safe; a map lives only while a model is
// built.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
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
    // Tried in this order: the first that some name begins with is stripped from all names that do.
    std::vector<std::string> prefixes;
    // Bare names, or patterns with '*' for any run of characters, of weights that may be there and
    // need not be read.
    std::vector<std::string> ignored;
    // What stands in front of a layer's number: "encoder.layer.". Empty = layers are not counted.
    std::string layers;
  };
  // Opens all files of the checkpoint. Errors: those of SafetensorsReader::Open; INVALID_ARGUMENT
  // where two weights get the same bare name.
  static absl::StatusOr<WeightMap> Open(const std::vector<std::string>& files, const Rules& rules);

  bool Contains(std::string_view name) const;

  // Layers that the files hold: one more than the highest number behind Rules::layers.
  int64_t num_layers() const;
  // Makes the weights of the layers from number `first` on need not be read.
  void IgnoreLayersFrom(int64_t first) { first_ignored_layer_ = first; }

  // The weight as a contiguous float32 tensor. F16, BF16 and F64 are converted; F32 is copied out
  // of the mapping too, so that the file can be unmapped. Where the weight is missing, has another
  // shape, or holds a value that is no finite float32, the tensor is undefined and the error is
  // kept: later calls go on, and Finish gives the first error. -1 in `shape` accepts any size
  // there.
  at::Tensor Take(std::string_view name, const std::vector<int64_t>& shape);
  // Like Take, for the matrix of a linear layer, which may also be stored as int8 (int8_weights.h).
  at::Tensor TakeMatrix(std::string_view name, const std::vector<int64_t>& shape);
  // Like Take, but an absent weight gives an undefined tensor without error.
  at::Tensor TakeOptional(std::string_view name, const std::vector<int64_t>& shape);

  // Keeps an error of the caller's own: the weight `name` does `why`.
  void Fail(std::string_view name, const std::string& why) { Refuse(name, why); }
  // INVALID_ARGUMENT: the first error of any Take, else the names of weights that were neither
  // taken nor ignored.
  absl::Status Finish() const;

  int64_t num_parameters() const { return num_parameters_; }  // elements taken so far

 private:
  struct Entry {
    const StoredTensor* tensor = nullptr;
    const SafetensorsReader* reader = nullptr;
    bool taken = false;
  };
  // The number of the layer that the weight belongs to; nullopt where it belongs to none.
  std::optional<int64_t> LayerOf(std::string_view name) const;
  std::string FindPrefix(const std::vector<std::string>& prefixes) const;
  at::Tensor TakeInt8(std::string_view name, Entry& entry);
  // Keeps the error, if it is the first, and gives an undefined tensor.
  at::Tensor Refuse(std::string_view name, const std::string& why);

  std::vector<std::unique_ptr<SafetensorsReader>> readers_;
  std::map<std::string, Entry, std::less<>> entries_;
  std::vector<std::string> ignored_;
  std::string layers_;
  int64_t first_ignored_layer_ = std::numeric_limits<int64_t>::max();
  absl::Status first_error_;
  int64_t num_parameters_ = 0;
  std::string source_;  // the first file's path, for errors
};

}  // namespace longspan
