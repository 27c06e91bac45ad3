#include "core/search/bm25.h"

#include <algorithm>
#include <cmath>

namespace longspan {
namespace {

// The idf of each word of the question.
std::vector<double> Rarity(std::span<const WordCounts> texts, size_t words) {
  std::vector<double> idf(words);
  for (size_t word = 0; word < words; ++word) {
    const auto holds = static_cast<double>(std::count_if(
        texts.begin(), texts.end(), [word](const WordCounts& t) { return t.counts[word] > 0; }));
    idf[word] = std::log1p((static_cast<double>(texts.size()) - holds + 0.5) / (holds + 0.5));
  }
  return idf;
}

}  // namespace

std::vector<double> Bm25(std::span<const WordCounts> texts, const Bm25Options& options) {
  std::vector<double> scores(texts.size());
  if (texts.empty()) return scores;
  const std::vector<double> idf = Rarity(texts, texts[0].counts.size());
  double all = 0.0;
  for (const WordCounts& text : texts) all += static_cast<double>(text.length);
  // Where all texts are empty, none holds a word either.
  const double mean = std::max(1.0, all / static_cast<double>(texts.size()));
  for (size_t i = 0; i < texts.size(); ++i) {
    const double length = static_cast<double>(texts[i].length) / mean;
    const double saturation = options.k1 * (1.0 - options.b + options.b * length);
    for (size_t word = 0; word < idf.size(); ++word) {
      const double count = texts[i].counts[word];
      if (count > 0) scores[i] += idf[word] * count * (options.k1 + 1.0) / (count + saturation);
    }
  }
  return scores;
}

}  // namespace longspan
