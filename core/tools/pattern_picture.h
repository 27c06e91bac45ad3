// The picture of recorded attention patterns: one panel for each kind of layer, an LSH layer twice
// (text order, sorted order).
#pragma once

#include "core/tools/attention_pattern.h"
#include "core/tools/drawing.h"

namespace longspan {

Drawing DrawPatterns(const RecordedPatterns& recorded);

}  // namespace longspan
