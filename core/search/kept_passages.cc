#include "core/search/kept_passages.h"

#include <algorithm>
#include <iterator>

#include "core/search/cells.h"

namespace longspan {

PassagePlace PlaceOf(const KeptText& text, int64_t passage) {
  const auto runs = text.cell_runs();
  const CellRun& run =
      *std::prev(std::upper_bound(runs.begin(), runs.end(), passage,
                                  [](int64_t p, const CellRun& r) { return p < r.first_passage; }));
  const int64_t cell = passage - run.first_passage;
  const int64_t last = std::min(cell + kCellsOfAPassage, run.cells);
  return {.first_row = run.first_row + cell * text.cell_tokens(),
          .end_row = std::min(run.first_row + last * text.cell_tokens(), run.end_row),
          .first_cell = run.first_cell + cell,
          .end_cell = run.first_cell + last,
          .block = run.first_block + BlockOfPassage(cell)};
}

void PassageScores(const KeptText& text, std::span<const float> cells,
                   std::span<const float> weights, std::vector<Passage>* passages) {
  passages->clear();
  const size_t tokens = weights.size();
  for (const CellRun& run : text.cell_runs()) {
    const auto of_run = ScorePassages(cells.subspan(run.first_cell * tokens, run.cells * tokens),
                                      weights, run.first_row, run.end_row, text.cell_tokens());
    passages->insert(passages->end(), of_run.begin(), of_run.end());
  }
}

RefinedCells::RefinedCells(const KeptText& text, std::span<const PassagePlace> places,
                           const LateQuestion& question)
    : tokens_(question.tokens()) {
  for (const PassagePlace& place : places) {
    for (int64_t cell = place.first_cell; cell < place.end_cell; ++cell) {
      if (cells_.empty() || cells_.back() < cell) cells_.push_back(cell);
    }
  }
  best_.resize(cells_.size() * tokens_);
  auto run = text.cell_runs().begin();
  std::vector<uint8_t> scratch;
  for (size_t begin = 0, end = 0; begin < cells_.size(); begin = end) {
    while (cells_[begin] >= run->first_cell + run->cells) ++run;
    // Neighbours of one run are compared at once.
    end = begin + 1;
    while (end < cells_.size() && cells_[end] == cells_[end - 1] + 1 &&
           cells_[end] < run->first_cell + run->cells)
      ++end;
    const int64_t first = run->first_row + (cells_[begin] - run->first_cell) * text.cell_tokens();
    const int64_t last =
        std::min(first + static_cast<int64_t>(end - begin) * text.cell_tokens(), run->end_row);
    LargestCosines(question, text.Rows(first, last, &scratch), last - first, text.cell_tokens(),
                   best_.data() + begin * tokens_);
  }
}

float RefinedCells::Score(const PassagePlace& place, std::span<const float> weights) const {
  const size_t first =
      std::lower_bound(cells_.begin(), cells_.end(), place.first_cell) - cells_.begin();
  const size_t count = place.end_cell - place.first_cell;
  float score = 0.0f;
  for (size_t token = 0; token < weights.size(); ++token) {
    float best = best_[first * tokens_ + token];
    for (size_t cell = first + 1; cell < first + count; ++cell)
      best = std::max(best, best_[cell * tokens_ + token]);
    score += weights[token] * best;
  }
  return score;
}

}  // namespace longspan
