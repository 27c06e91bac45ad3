#include "core/search/ranking.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace longspan {
namespace {

// Less their mean, over their standard deviation; zeros where all are equal.
std::vector<double> Standardised(std::vector<double> values) {
  if (values.empty()) return values;
  const auto count = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0.0;
  for (double& value : values) {
    value -= mean;
    squares += value * value;
  }
  const double deviation = std::sqrt(squares / count);
  // Below this it is the rounding of a mean of equal values.
  const double inverse = deviation > 1e-9 ? 1.0 / deviation : 0.0;
  for (double& value : values) value *= inverse;
  return values;
}

// The largest of each document's values, which stand one document behind the other. A document
// without values gets the smallest of all.
std::vector<double> Largest(std::span<const size_t> counts, std::span<const double> values) {
  const double least = values.empty() ? 0.0 : *std::min_element(values.begin(), values.end());
  std::vector<double> largest;
  auto begin = values.begin();
  for (const size_t count : counts) {
    const auto end = begin + static_cast<ptrdiff_t>(count);
    largest.push_back(begin == end ? least : *std::max_element(begin, end));
    begin = end;
  }
  return largest;
}

bool Overlap(const Passage& a, const Passage& b) { return a.begin < b.end && b.begin < a.end; }

// The best passages of a document, none of which overlaps another one. `scores`: of its passages.
std::vector<RankedPassage> BestPassages(const SearchedDocument& document,
                                        std::span<const double> scores, size_t most) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  std::vector<RankedPassage> best;
  for (const size_t passage : order) {
    if (best.size() == most) break;
    const Passage& one = document.passages[passage];
    if (std::any_of(best.begin(), best.end(), [&](const RankedPassage& other) {
          return Overlap(one, document.passages[other.passage]);
        }))
      continue;
    best.push_back({.passage = passage, .score = scores[passage], .similarity = one.score});
  }
  return best;
}

// The scores of all documents, and of all their passages, one document behind the other.
struct Scores {
  std::vector<double> documents, passages;
  std::vector<double> similarities, words;  // of documents: what their scores are made of
};

Scores Score(std::span<const SearchedDocument> documents, const RankingOptions& options) {
  std::vector<double> late;
  std::vector<WordCounts> blocks;
  std::vector<size_t> block_of, passages_each, blocks_each;
  for (const SearchedDocument& document : documents) {
    for (size_t i = 0; i < document.passages.size(); ++i) {
      late.push_back(document.passages[i].score);
      block_of.push_back(blocks.size() + document.block_of[i]);
    }
    blocks.insert(blocks.end(), document.blocks.begin(), document.blocks.end());
    passages_each.push_back(document.passages.size());
    blocks_each.push_back(document.blocks.size());
  }
  const std::vector<double> words = Bm25(blocks, options.bm25);
  std::vector<double> words_around;  // each passage
  words_around.reserve(block_of.size());
  for (const size_t block : block_of) words_around.push_back(words[block]);
  const auto sum = [&options](std::vector<double> a, std::vector<double> b) {
    std::vector<double> sums = Standardised(std::move(a));
    const std::vector<double> lexical = Standardised(std::move(b));
    for (size_t i = 0; i < sums.size(); ++i)
      sums[i] = options.late_weight * sums[i] + options.lexical_weight * lexical[i];
    return sums;
  };
  Scores scores{.similarities = Largest(passages_each, late), .words = Largest(blocks_each, words)};
  scores.documents = sum(scores.similarities, scores.words);
  scores.passages = sum(std::move(late), std::move(words_around));
  return scores;
}

}  // namespace

std::vector<RankedDocument> Rank(std::span<const SearchedDocument> documents,
                                 const RankingOptions& options) {
  const Scores scores = Score(documents, options);
  std::vector<size_t> order(documents.size()), first_passage(documents.size());
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t i = 1; i < documents.size(); ++i)
    first_passage[i] = first_passage[i - 1] + documents[i - 1].passages.size();
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const bool a_empty = documents[a].passages.empty();
    const bool b_empty = documents[b].passages.empty();
    return a_empty != b_empty ? b_empty : scores.documents[a] > scores.documents[b];
  });
  order.resize(std::min(order.size(), options.max_documents));
  std::vector<RankedDocument> ranked;
  for (const size_t i : order) {
    const SearchedDocument& document = documents[i];
    const std::span<const double> of_passages(scores.passages.data() + first_passage[i],
                                              document.passages.size());
    ranked.push_back({.document = i,
                      .score = scores.documents[i],
                      .similarity = static_cast<float>(scores.similarities[i]),
                      .bm25 = scores.words[i],
                      .passages = BestPassages(document, of_passages, options.max_passages)});
  }
  return ranked;
}

}  // namespace longspan
