// BatchCost: what a text and a batch are predicted to cost, as functions of their lengths alone.
// Admission, scheduler and worker count in these seconds. CostModel (core/cost_model.h) has the
// methods of the same names, and OnlineCostModel corrects what they predict.
//
// Thread safety: both functions may be called from any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

namespace longspan {

struct BatchCost {
  // Predicted seconds that one text of num_tokens tokens adds to a batch.
  std::function<double(int64_t num_tokens)> text_seconds;
  // Predicted seconds of a whole batch, of texts of these lengths.
  std::function<double(std::span<const int64_t> lengths)> batch_seconds;
};

}  // namespace longspan
