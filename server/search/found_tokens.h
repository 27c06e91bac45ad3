// FoundTokens: where the best tokens of a passage stand, in the question and in its text.
//
//   const auto best = BestTokens(question, weights, rows, passage.begin, passage.end);
//   span.best_tokens = FoundTokens(best, query.places(), places.places());
//
// A free function without state: thread safe. Proven by found_tokens_test.
#pragma once

#include <span>
#include <vector>

#include "core/search/late_interaction.h"
#include "server/search/search_request.h"
#include "server/text/token_places.h"

namespace longspan {

// `query`: of the tokens of the question. `text`: of the rows of the text.
std::vector<FoundToken> FoundTokens(std::span<const BestToken> best,
                                    std::span<const TokenPlace> query,
                                    std::span<const TokenPlace> text);

}  // namespace longspan
