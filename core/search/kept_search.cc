#include "core/search/kept_search.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>
#include <utility>

#include "core/search/cells.h"
#include "core/search/kept_lexical.h"
#include "core/search/kept_passages.h"

namespace longspan {
namespace {

// Texts of a part of a step: enough that handing parts out costs nothing.
constexpr int64_t kRowsOfAPart = 1 << 16;

// Mean and deviation of values that come one by one.
class Spread {
 public:
  void Add(double value, double times = 1.0) {
    count_ += times;
    sum_ += times * value;
    squares_ += times * value * value;
  }
  void Add(const Spread& other) {
    count_ += other.count_;
    sum_ += other.sum_;
    squares_ += other.squares_;
  }
  // Less the mean, over the standard deviation; 0 where all are equal.
  double Standardised(double value) const {
    if (count_ == 0) return 0.0;
    const double mean = sum_ / count_;
    const double variance = squares_ / count_ - mean * mean;
    return variance > 1e-18 ? (value - mean) / std::sqrt(variance) : 0.0;
  }

 private:
  double count_ = 0.0, sum_ = 0.0, squares_ = 0.0;
};

// What the scan knows of a text.
struct Scanned {
  float late = -2.0f;  // of its best passage, by the means of its cells
  double words = 0.0;  // of its best block
  bool any = false;    // it has a passage
};

struct Refined {
  std::vector<KeptPassage> passages;  // score: still of late interaction alone
  std::vector<double> words;          // of the block around each
  float late = 0.0f;                  // of the best
};

class Search {
 public:
  Search(const KeptIndex& index, const KeptQuestion& question, const KeptSearchOptions& options,
         const ForEachPart& for_each_part)
      : index_(index),
        question_(question),
        options_(options),
        for_each_part_(for_each_part),
        lexical_(index, question.stems, options.ranking.bm25) {
    DivideIntoParts();
  }

  std::vector<KeptFound> Whole();
  std::vector<KeptFound> InSteps();

 private:
  void DivideIntoParts();
  void Scan(size_t part);
  std::vector<uint32_t> Choose(const Spread& late, const Spread& words) const;
  // Beside so many that are chosen.
  std::vector<uint32_t> Sample(size_t chosen) const;
  // `passages`: how many of the best by the means.
  Refined Refine(uint32_t slot, size_t passages) const;
  // The best passages by the means, and those of the best block. Ascending.
  std::vector<int64_t> PassagesToRefine(const KeptText& text, std::span<const double> words,
                                        size_t most) const;
  // How many passages have refined_rows rows.
  size_t RefinedPassages() const {
    return static_cast<size_t>(options_.refined_rows) /
           static_cast<size_t>(kCellsOfAPassage * index_.cell_tokens());
  }
  void AddEvenPassages(uint32_t slot, Spread* spread) const;
  SearchedDocument Searched(const KeptText& text) const;

  const KeptText& text(uint32_t slot) const { return *index_.texts()[slot]; }

  const KeptIndex& index_;
  const KeptQuestion& question_;
  const KeptSearchOptions& options_;
  const ForEachPart& for_each_part_;
  const KeptLexical lexical_;
  std::vector<std::vector<uint32_t>> parts_;  // slots
  std::vector<Scanned> scanned_;              // each slot
  std::vector<Spread> passage_words_;         // each part: BM25 of the blocks around its passages
};

void Search::DivideIntoParts() {
  int64_t rows = kRowsOfAPart;
  for (uint32_t slot = 0; slot < index_.texts().size(); ++slot) {
    if (!index_.texts()[slot].has_value()) continue;
    if (rows >= kRowsOfAPart) {
      parts_.emplace_back();
      rows = 0;
    }
    parts_.back().push_back(slot);
    rows += text(slot).num_rows();
  }
}

SearchedDocument Search::Searched(const KeptText& text) const {
  SearchedDocument document;
  std::vector<uint8_t> scratch;
  const size_t tokens = question_.weights.size();
  std::vector<float> cells;
  for (const CellRun& run : text.cell_runs()) {
    cells.resize(run.cells * tokens);
    LargestCosines(*question_.rows, text.Rows(run.first_row, run.end_row, &scratch),
                   run.end_row - run.first_row, text.cell_tokens(), cells.data());
    const auto passages =
        ScorePassages(cells, question_.weights, run.first_row, run.end_row, text.cell_tokens());
    for (size_t i = 0; i < passages.size(); ++i) {
      document.passages.push_back(passages[i]);
      document.block_of.push_back(run.first_block + BlockOfPassage(static_cast<int64_t>(i)));
    }
  }
  document.blocks = KeptBlocks(text, question_.stems);
  return document;
}

std::vector<KeptFound> Search::Whole() {
  std::vector<uint32_t> slots;
  for (const auto& part : parts_) slots.insert(slots.end(), part.begin(), part.end());
  std::vector<SearchedDocument> searched(slots.size());
  for_each_part_(static_cast<int64_t>(slots.size()),
                 [&](int64_t i) { searched[i] = Searched(text(slots[i])); });
  std::vector<KeptFound> all;
  for (const RankedDocument& ranked : Rank(searched, options_.ranking)) {
    KeptFound found{.slot = slots[ranked.document],
                    .score = ranked.score,
                    .similarity = ranked.similarity,
                    .bm25 = ranked.bm25};
    for (const RankedPassage& one : ranked.passages) {
      const Passage& passage = searched[ranked.document].passages[one.passage];
      found.passages.push_back({passage.begin, passage.end, one.score, one.similarity});
    }
    all.push_back(std::move(found));
  }
  return all;
}

void Search::Scan(size_t part) {
  const size_t tokens = question_.weights.size();
  std::vector<float> cells;
  std::vector<Passage> passages;
  std::vector<double> words;
  Spread& spread = passage_words_[part];
  for (const uint32_t slot : parts_[part]) {
    const KeptText& one = text(slot);
    Scanned& scanned = scanned_[slot];
    cells.resize(one.num_cells() * tokens);
    LargestCosines(*question_.rows, one.means(), one.num_cells(), /*unit_rows=*/1, cells.data());
    PassageScores(one, cells, question_.weights, &passages);
    for (const Passage& passage : passages) scanned.late = std::max(scanned.late, passage.score);
    scanned.any = !passages.empty();
    if (!lexical_.Blocks(slot, &words)) {
      spread.Add(0.0, static_cast<double>(passages.size()));
      continue;
    }
    if (!words.empty()) scanned.words = *std::max_element(words.begin(), words.end());
    for (const CellRun& run : one.cell_runs()) {
      for (int64_t passage = 0; passage < run.passages; ++passage)
        spread.Add(words[run.first_block + BlockOfPassage(passage)]);
    }
  }
}

// By the two together, by late interaction alone, and by words alone: so many of each.
std::vector<uint32_t> Search::Choose(const Spread& late, const Spread& words) const {
  const size_t wanted = std::max(options_.chosen_texts, 4 * options_.ranking.max_documents);
  std::vector<uint32_t> order;
  for (uint32_t slot = 0; slot < scanned_.size(); ++slot) {
    if (scanned_[slot].any) order.push_back(slot);
  }
  std::vector<uint32_t> chosen;
  const auto choose = [&](double late_weight, double word_weight) {
    std::vector<std::pair<double, uint32_t>> scores;
    for (const uint32_t slot : order) {
      const Scanned& one = scanned_[slot];
      if (late_weight == 0 && one.words == 0) continue;
      scores.push_back(
          {-late_weight * late.Standardised(one.late) - word_weight * words.Standardised(one.words),
           slot});
    }
    const size_t count = std::min(wanted, scores.size());
    std::nth_element(scores.begin(), scores.begin() + static_cast<ptrdiff_t>(count), scores.end());
    for (size_t i = 0; i < count; ++i) chosen.push_back(scores[i].second);
  };
  choose(options_.ranking.late_weight, options_.ranking.lexical_weight);
  if (options_.ranking.late_weight > 0) choose(1.0, 0.0);
  if (options_.ranking.lexical_weight > 0) choose(0.0, 1.0);
  std::sort(chosen.begin(), chosen.end());
  chosen.erase(std::unique(chosen.begin(), chosen.end()), chosen.end());
  return chosen;
}

// Texts with passages, evenly spaced: all of a small collection.
std::vector<uint32_t> Search::Sample(size_t chosen) const {
  std::vector<uint32_t> all, sample;
  for (uint32_t slot = 0; slot < scanned_.size(); ++slot) {
    if (scanned_[slot].any) all.push_back(slot);
  }
  const size_t room = RefinedPassages() / std::max<size_t>(1, options_.chosen_passages);
  const size_t wanted = std::max(options_.sampled_texts, room - std::min(room, chosen));
  const size_t count = std::min(wanted, all.size());
  for (size_t i = 0; i < count; ++i) sample.push_back(all[i * all.size() / count]);
  return sample;
}

std::vector<int64_t> Search::PassagesToRefine(const KeptText& one, std::span<const double> words,
                                              size_t most) const {
  std::vector<float> cells(one.num_cells() * question_.weights.size());
  LargestCosines(*question_.rows, one.means(), one.num_cells(), /*unit_rows=*/1, cells.data());
  std::vector<Passage> passages;
  PassageScores(one, cells, question_.weights, &passages);
  std::vector<int64_t> order(passages.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  const size_t count = std::min(most, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(count), order.end(),
                    [&](int64_t a, int64_t b) { return passages[a].score > passages[b].score; });
  order.resize(count);
  if (!words.empty()) {
    const auto best =
        static_cast<int64_t>(std::max_element(words.begin(), words.end()) - words.begin());
    for (const CellRun& run : one.cell_runs()) {
      if (best < run.first_block || best >= run.first_block + run.blocks) continue;
      const int64_t first = (best - run.first_block) * kCellsBetweenBlocks;
      const int64_t end = std::min(first + kCellsOfABlock - kCellsOfAPassage + 1, run.passages);
      for (int64_t passage = first; passage < end; ++passage)
        order.push_back(run.first_passage + passage);
    }
  }
  std::sort(order.begin(), order.end());
  order.erase(std::unique(order.begin(), order.end()), order.end());
  return order;
}

Refined Search::Refine(uint32_t slot, size_t passages) const {
  const KeptText& one = text(slot);
  std::vector<double> words;
  lexical_.Blocks(slot, &words);
  std::vector<PassagePlace> places;
  for (const int64_t passage : PassagesToRefine(one, words, passages))
    places.push_back(PlaceOf(one, passage));
  const RefinedCells cells(one, places, *question_.rows);
  Refined refined{.late = -2.0f};
  for (const PassagePlace& place : places) {
    const float late = cells.Score(place, question_.weights);
    refined.late = std::max(refined.late, late);
    refined.words.push_back(words.empty() ? 0.0 : words[place.block]);
    refined.passages.push_back(
        {.begin = place.first_row, .end = place.end_row, .similarity = late});
  }
  return refined;
}

// Two of each text: passages as they are, not the best ones.
void Search::AddEvenPassages(uint32_t slot, Spread* spread) const {
  const KeptText& one = text(slot);
  const std::vector<PassagePlace> places = {PlaceOf(one, one.num_passages() / 4),
                                            PlaceOf(one, 3 * one.num_passages() / 4)};
  const RefinedCells cells(one, places, *question_.rows);
  for (const PassagePlace& place : places) spread->Add(cells.Score(place, question_.weights));
}

// Best first, none of which overlaps a better one.
void KeepBest(size_t most, std::vector<KeptPassage>* passages) {
  std::stable_sort(passages->begin(), passages->end(),
                   [](const KeptPassage& a, const KeptPassage& b) { return a.score > b.score; });
  std::vector<KeptPassage> best;
  for (const KeptPassage& one : *passages) {
    if (best.size() == most) break;
    if (std::none_of(best.begin(), best.end(), [&one](const KeptPassage& other) {
          return one.begin < other.end && other.begin < one.end;
        }))
      best.push_back(one);
  }
  passages->swap(best);
}

std::vector<KeptFound> Search::InSteps() {
  scanned_.resize(index_.texts().size());
  passage_words_.resize(parts_.size());
  for_each_part_(static_cast<int64_t>(parts_.size()), [this](int64_t part) { Scan(part); });
  Spread means, text_words, passage_words;
  for (const Scanned& one : scanned_) {
    if (!one.any) continue;
    means.Add(one.late);
    text_words.Add(one.words);
  }
  for (const Spread& part : passage_words_) passage_words.Add(part);

  const std::vector<uint32_t> chosen = Choose(means, text_words), sample = Sample(chosen.size());
  std::vector<uint32_t> slots;  // of both, each once
  std::set_union(chosen.begin(), chosen.end(), sample.begin(), sample.end(),
                 std::back_inserter(slots));
  const size_t passages = std::max({options_.chosen_passages, 4 * options_.ranking.max_passages,
                                    RefinedPassages() / std::max<size_t>(1, slots.size())});
  std::vector<Refined> all_refined(slots.size());
  for_each_part_(static_cast<int64_t>(slots.size()),
                 [&](int64_t i) { all_refined[i] = Refine(slots[i], passages); });
  const auto refined = [&](uint32_t slot) -> Refined& {
    return all_refined[std::lower_bound(slots.begin(), slots.end(), slot) - slots.begin()];
  };
  Spread late, passage_late;
  for (const uint32_t slot : sample) {
    late.Add(refined(slot).late);
    AddEvenPassages(slot, &passage_late);
  }

  const RankingOptions& ranking = options_.ranking;
  std::vector<KeptFound> all;
  for (const uint32_t slot : chosen) {
    const Scanned& scanned = scanned_[slot];
    Refined& one = refined(slot);
    KeptFound found{.slot = slot,
                    .score = ranking.late_weight * late.Standardised(one.late) +
                             ranking.lexical_weight * text_words.Standardised(scanned.words),
                    .similarity = one.late,
                    .bm25 = scanned.words,
                    .passages = std::move(one.passages)};
    for (size_t p = 0; p < found.passages.size(); ++p) {
      KeptPassage& passage = found.passages[p];
      passage.score = ranking.late_weight * passage_late.Standardised(passage.similarity) +
                      ranking.lexical_weight * passage_words.Standardised(one.words[p]);
    }
    all.push_back(std::move(found));
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const KeptFound& a, const KeptFound& b) { return a.score > b.score; });
  all.resize(std::min(all.size(), ranking.max_documents));
  for (KeptFound& found : all) KeepBest(ranking.max_passages, &found.passages);
  return all;
}

}  // namespace

std::vector<KeptFound> SearchKept(const KeptIndex& index, const KeptQuestion& question,
                                  const KeptSearchOptions& options,
                                  const ForEachPart& for_each_part) {
  Search search(index, question, options, for_each_part);
  return index.num_rows() <= options.exact_rows ? search.Whole() : search.InSteps();
}

}  // namespace longspan
