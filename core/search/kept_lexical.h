// KeptLexical: BM25 (bm25.h) of the blocks of a collection's texts. Frequencies and the mean length
// are those of all blocks of the collection, which its index counts.
//
//   KeptLexical lexical(index, question.stems, options);
//   lexical.Blocks(slot, &scores)      one for each block of the text; all 0 where it has no word
//
// Thread safety: const methods from several threads, while the index does not change. Proven by
// kept_search_test.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/search/bm25.h"
#include "core/search/kept_index.h"

namespace longspan {

class KeptLexical {
 public:
  KeptLexical(const KeptIndex& index, std::span<const uint64_t> stems, const Bm25Options& options);

  // False where the text has none of the words; then `scores` is as it was.
  bool Blocks(uint32_t slot, std::vector<double>* scores) const;

 private:
  struct Match {
    uint32_t slot = 0;
    uint32_t word = 0;      // of the text
    uint32_t question = 0;  // index of the question's word
  };

  const KeptIndex& index_;
  const Bm25Options options_;
  double mean_length_ = 1.0;
  std::vector<double> idf_;            // of the question's words
  std::vector<Match> matches_;         // slots ascend
  std::vector<uint32_t> first_match_;  // [slots + 1]
};

// How often each block of the text holds the words of the question.
std::vector<WordCounts> KeptBlocks(const KeptText& text, std::span<const uint64_t> stems);

}  // namespace longspan
