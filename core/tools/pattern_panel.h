// PatternPanel: one matrix of a picture and what is said about it; also the colours. They are Okabe
// and Ito's palette, which can be told apart with any colour vision, and by lightness.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/tools/attention_pattern.h"
#include "core/tools/drawing.h"

namespace longspan {

struct SightStyle {
  const char* color;  // "#rrggbb"
  const char* often;  // the same, where a key counts more than once
};
const SightStyle& StyleOf(Sight sight);

// Points into the RecordedPatterns that it was made of.
struct PatternPanel {
  std::string title;
  std::vector<std::string> words;  // lines below the title
  std::string row_axis;
  std::string column_axis;
  const AttentionPattern* pattern = nullptr;
  const LshSorting* sorting = nullptr;   // buckets to show beside the matrix; null = none
  bool sorted = false;                   // rows are slots of `sorting`, else positions
  int64_t chunk = 0;                     // tokens between the lines of chunks or blocks; 0 = none
  std::vector<std::string> labels;       // of the rows and columns; empty = their numbers
  std::map<Sight, std::string> meaning;  // of the colours in this panel
  int most_times = 1;                    // how often one key counts for one query, at most
};

// One panel for each kind of layer. An LSH layer that hashes has two, in text order and in sorted
// order.
std::vector<PatternPanel> MakePanels(const RecordedPatterns& recorded);

// The cells that are not hidden, by colour, as rectangles of equal cells.
std::map<std::string, std::vector<Drawing::Cells::Run>> CellRuns(const PatternPanel& panel);

}  // namespace longspan
