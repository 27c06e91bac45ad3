// BatchCost: what a text and a batch are predicted to cost, as functions of their shapes alone
// (core/text_shape.h). Admission, scheduler and worker count in these seconds. CostModel
// (core/cost_model.h) has the methods of the same names, and OnlineCostModel corrects what they
// predict.
//
// Thread safety: both functions may be called from any thread.
#pragma once

#include <functional>
#include <span>

#include "core/text_shape.h"

namespace longspan {

struct BatchCost {
  // Predicted seconds that one text adds to a batch.
  std::function<double(const TextShape& text)> text_seconds;
  // Predicted seconds of a whole batch.
  std::function<double(std::span<const TextShape> texts)> batch_seconds;
};

}  // namespace longspan
