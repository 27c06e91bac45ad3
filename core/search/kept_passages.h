// Passages of a kept text (cells.h), and their scores: by what is known of all cells, or token by
// token for a few of them.
//
//   PassagePlace place = PlaceOf(text, 7);
//   RefinedCells cells(text, places, question);
//   cells.Score(place, weights)
//
// Free functions without state, and a class that is constant once made: thread safe. Proven by
// kept_search_test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/search/kept_text.h"
#include "core/search/late_interaction.h"

namespace longspan {

// A passage of a text by its number; block and rows follow from it.
struct PassagePlace {
  int64_t first_row = 0, end_row = 0;
  int64_t first_cell = 0, end_cell = 0;  // of the text
  int64_t block = 0;                     // of the text
};
PassagePlace PlaceOf(const KeptText& text, int64_t passage);

// The score of each passage, in order. `cells`: [cells, question tokens], the largest cosine of
// each token of the question with each cell.
void PassageScores(const KeptText& text, std::span<const float> cells,
                   std::span<const float> weights, std::vector<Passage>* passages);

// Cells of a text that are compared token by token, each once, however many passages it is in.
class RefinedCells {
 public:
  // Those of the passages `places`, which ascend.
  RefinedCells(const KeptText& text, std::span<const PassagePlace> places,
               const LateQuestion& question);

  // Of a passage that the cells were made for.
  float Score(const PassagePlace& place, std::span<const float> weights) const;

 private:
  const size_t tokens_;
  std::vector<int64_t> cells_;  // ascending
  std::vector<float> best_;     // [cells, question tokens]
};

}  // namespace longspan
