// PatternRecorder: writes down what each attention of a forward pass over one text sees, for the
// layers that are wanted. It serves one pass on one thread. Proven by attention_pattern_test.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/attention/attention_observer.h"
#include "core/tools/attention_pattern.h"

namespace longspan {

class PatternRecorder : public AttentionObserver {
 public:
  struct Layer {
    AttentionPattern pattern;
    std::optional<LshSorting> sorting;
  };
  // wanted[i]: layer i is recorded. Rows from `tokens` on are padding that a model adds; they are
  // left out. `head` is the one whose LSH buckets are recorded.
  PatternRecorder(int64_t tokens, std::vector<bool> wanted, int64_t head);

  // To be called after each layer.
  void NextLayer() { ++layer_; }
  // What was recorded of a layer, once.
  Layer TakeLayer(int64_t layer);

  void OnRowTasks(std::span<const kernels::RowTask> tasks,
                  std::span<const uint8_t> key_mask) override;
  void OnGlobalRows(std::span<const int64_t> rows, int64_t begin, int64_t end,
                    std::span<const uint8_t> key_mask) override;
  void OnLocalChunks(const kernels::ChunkAttentionParams& params) override;
  void OnLshChunks(int64_t head, const kernels::ChunkAttentionParams& params,
                   const LshOrder* order) override;

 private:
  bool IsWanted() const { return wanted_[layer_]; }
  bool IsToken(int64_t position) const { return position < tokens_; }
  // One row of a task. sees_all: the row is a query that sees every key.
  void AddRow(const kernels::RowTask& task, int32_t row, bool sees_all,
              std::span<const uint8_t> key_mask);

  const int64_t tokens_;
  const int64_t head_;
  const std::vector<bool> wanted_;
  int64_t layer_ = 0;
  std::vector<Layer> layers_;
};

}  // namespace longspan
