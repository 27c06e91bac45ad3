// SearchKept: the texts of a collection that answer a question best, scored as Rank does
// (ranking.h). A small collection is read whole, and then the scores are those of Rank. A larger
// one in three steps, so that of most texts only the means of their cells are read:
//
//   scan     all texts: late interaction with the mean of each cell instead of its tokens, and BM25
//            of all blocks, exact
//   choose   the texts that are best by the two together, or by one of them
//   refine   of those, the passages that are best by the means or hold the words of the best block:
//            late interaction with their tokens, exact
//
// What scores are standardised by (ranking.h) is exact of BM25; of late interaction it is estimated
// from texts that are refined for it, evenly spaced over the collection.
//
// A free function without state; `index` must not change meanwhile. Cost: O(cells · question
// tokens · width), and O(refined rows · question tokens · width). Proven by kept_search_test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/search/kept_index.h"
#include "core/search/late_interaction.h"
#include "core/search/ranking.h"

namespace longspan {

struct KeptQuestion {
  const LateQuestion* rows = nullptr;
  std::vector<float> weights;   // of its tokens, with the sum 1
  std::vector<uint64_t> stems;  // of its words, each once
};

struct KeptSearchOptions {
  RankingOptions ranking;
  int64_t exact_rows = 1 << 17;  // collections of up to so many rows are read whole
  size_t chosen_texts = 128;     // at least, by each of three orders
  size_t chosen_passages = 12;   // of each of them, at least
  size_t sampled_texts = 64;     // at least
  // Of all texts together. Where the least above takes fewer, more texts are sampled, and more
  // passages are read of each.
  int64_t refined_rows = 1 << 18;
};

// Calls its argument with 0 .. parts - 1, each once, in any order and on any threads, and returns
// when all have returned.
using ForEachPart = std::function<void(int64_t parts, const std::function<void(int64_t)>&)>;

struct KeptPassage {
  int64_t begin = 0, end = 0;  // rows
  double score = 0.0;
  float similarity = 0.0f;
};

struct KeptFound {
  uint32_t slot = 0;
  double score = 0.0;
  float similarity = 0.0f;
  double bm25 = 0.0;
  std::vector<KeptPassage> passages;  // best first
};

// Best first.
std::vector<KeptFound> SearchKept(const KeptIndex& index, const KeptQuestion& question,
                                  const KeptSearchOptions& options,
                                  const ForEachPart& for_each_part);

}  // namespace longspan
