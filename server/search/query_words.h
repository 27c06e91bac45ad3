// QueryWords: the words of a question, and how often the cells of a text hold them: what BM25
// (core/search/bm25.h) is computed from. Words are those of words.h, and two are the same where
// their stems are (stems.h), so that "leases" finds "lease".
//
//   auto words = QueryWords::Read("When do the leases end?", stemmer);
//   auto counts = words->CountIn(text, places, cell_tokens, stop);
//   std::vector<WordCounts> blocks = counts->Blocks(...);
//
// A word that the question has twice counts once. Thread safety: const methods from any thread;
// each call of CountIn needs a stemmer of its own. Proven by query_words_test.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "core/search/bm25.h"
#include "core/tokenizer/tokenizer.h"
#include "server/text/stems.h"
#include "server/text/token_places.h"

namespace longspan {

// How often the cells of a text hold the words of a question. The cells of one run of its rows
// (TokenPlaces::Run) follow those of the run before.
class CellWords {
 public:
  CellWords(size_t num_words, std::vector<int64_t> run_cells);

  int64_t num_cells() const { return static_cast<int64_t>(lengths_.size()); }
  // A word of the text that begins in the cell; cells ascend. `word`: of the question, or -1.
  void Add(int64_t cell, int32_t word);
  // Of all blocks (core/search/cells.h), one run behind the other.
  std::vector<WordCounts> Blocks() const;

 private:
  struct Hit {
    int64_t cell = 0;
    int32_t word = 0;
  };
  void AddRun(int64_t first_cell, int64_t cells, size_t* hit,
              std::vector<WordCounts>* blocks) const;

  size_t num_words_;                // of the question
  std::vector<int64_t> run_cells_;  // cells of each run
  std::vector<int32_t> lengths_;    // words of each cell
  std::vector<Hit> hits_;           // cells ascend
};

class QueryWords {
 public:
  // INTERNAL where ICU's data is missing.
  static absl::StatusOr<QueryWords> Read(std::string_view query, Stemmer& stemmer);

  size_t size() const { return index_.size(); }
  // Of each word (cell_words.h), in the order of the question.
  std::vector<uint64_t> Hashes() const;
  // A word belongs to the cell in which it begins; blanks behind a token are its own. What the
  // model does not read is not counted. `stop`, asked now and then: what it says against going on
  // is returned.
  absl::StatusOr<CellWords> CountIn(std::string_view text, const TokenPlaces& places,
                                    int64_t cell_tokens, Stemmer& stemmer,
                                    const StopCheck& stop) const;

 private:
  absl::flat_hash_map<std::string, int32_t> index_;  // of each stem, in the order of the question
};

}  // namespace longspan
