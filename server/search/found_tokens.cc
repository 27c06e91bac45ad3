#include "server/search/found_tokens.h"

namespace longspan {

std::vector<FoundToken> FoundTokens(std::span<const BestToken> best,
                                    std::span<const TokenPlace> query,
                                    std::span<const TokenPlace> text) {
  std::vector<FoundToken> found;
  found.reserve(best.size());
  for (const BestToken& one : best) {
    found.push_back({.query = query[one.token],
                     .text = text[one.row],
                     .similarity = one.similarity,
                     .weight = one.weight});
  }
  return found;
}

}  // namespace longspan
