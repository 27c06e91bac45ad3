// DrawPatterns: the picture of recorded attention patterns, with the panels of pattern_panel.h.
#pragma once

#include "core/tools/attention_pattern.h"
#include "core/tools/drawing.h"

namespace longspan {

Drawing DrawPatterns(const RecordedPatterns& recorded);

}  // namespace longspan
