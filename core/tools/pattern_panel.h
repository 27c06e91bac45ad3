// PatternPanel: one matrix of a picture with what is said about it; and the colours.
// Okabe and Ito's palette: told apart with any colour vision, and by lightness.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/tools/attention_pattern.h"
#include "core/tools/drawing.h"

namespace longspan {

struct SightStyle {
  const char* color;
  const char* often;  // where a key counts more than once
};
const SightStyle& StyleOf(Sight sight);

struct PatternPanel {
  std::string title;
  std::vector<std::string> words;  // lines below the title
  std::string row_axis, column_axis;
  const AttentionPattern* pattern = nullptr;  // of the recorded patterns, like sorting
  const LshSorting* sorting = nullptr;        // null, or buckets to show beside the matrix
  bool sorted = false;                        // rows are slots of `sorting`, else positions
  int64_t chunk = 0;                     // tokens between the lines of chunks or blocks; 0 = none
  std::vector<std::string> labels;       // of the rows and columns; empty = numbers
  std::map<Sight, std::string> meaning;  // of the colours in this panel
  int most_times = 1;                    // that one key counts for one query
};

// One panel for each kind of layer; an LSH layer that hashes has two.
std::vector<PatternPanel> MakePanels(const RecordedPatterns& recorded);

// The cells that are seen, by colour: rectangles of equal cells.
std::map<std::string, std::vector<Drawing::Cells::Run>> CellRuns(const PatternPanel& panel);

}  // namespace longspan
