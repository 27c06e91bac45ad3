// The words of a text, by the cells (core/search/cells.h) in which they begin, as stems: what both
// kinds of search count, over the texts of a request and over kept ones.
//
// Free functions without state: thread safe; each call needs a stemmer of its own. Proven by
// query_words_test.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/search/kept_text.h"
#include "core/tokenizer/tokenizer.h"
#include "server/text/stems.h"
#include "server/text/token_places.h"

namespace longspan {

// Calls `on_word` for each word that the model reads, in order. The cells of one run of the rows
// follow those of the run before. A word belongs to the cell in which it begins; blanks behind a
// token are its own. `stop`, asked now and then: what it says against going on is returned.
absl::Status ReadCellWords(std::string_view text, const TokenPlaces& places, int64_t cell_tokens,
                           Stemmer& stemmer, const StopCheck& stop,
                           absl::FunctionRef<void(int64_t cell, std::string_view stem)> on_word);

// Tells stems apart where words are kept: the 64-bit FNV-1a hash (draft-eastlake-fnv), the same on
// every machine. Of a million stems two share one with a probability of 3e-8.
uint64_t StemHash(std::string_view stem);

// The words of a text, to be kept.
absl::StatusOr<std::vector<KeptWord>> KeptWordsOf(std::string_view text, const TokenPlaces& places,
                                                  int64_t cell_tokens, Stemmer& stemmer,
                                                  const StopCheck& stop);

}  // namespace longspan
