// Truncation: which ranges of a text's body are read, and the parts of the text that come of it.
// With room for 8 tokens
// ([CLS] + 6 + [SEP]) and a body of 10:  HEAD [0 6)   TAIL [4 10)   HEAD_TAIL [0 3)+[7 10)   WINDOWS, overlap 2: [0 6) [4 10)
// REJECT: INVALID_ARGUMENT.
//
// Plain values and free functions without state: thread safe.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "server/text/token_layout.h"

namespace longspan {

// Body ranges of the parts: one entry per part, each one or two ranges.
using BodyRanges = std::vector<std::vector<TokenRange>>;

absl::StatusOr<BodyRanges> Truncate(const EncodeInput& input, const TokenLayout& layout,
                                    int64_t max_tokens);

// One part: what it keeps of the whole text, in order, and the way from a token of the text to its
// place in the part.
class TextPart {
 public:
  TextPart(const TokenLayout& layout, const std::vector<TokenRange>& body) {
    kept_.push_back({0, layout.body.begin});
    kept_.insert(kept_.end(), body.begin(), body.end());
    kept_.push_back({layout.body.end, layout.size()});
  }

  int64_t size() const {
    int64_t total = 0;
    for (const TokenRange& range : kept_) total += range.size();
    return total;
  }
  // Tokens of this part that come from `range` of the text: a range here, since kept ranges keep
  // their order; may be empty.
  TokenRange Map(TokenRange range) const {
    TokenRange mapped{-1, -1};
    int64_t at = 0;
    for (const TokenRange& kept : kept_) {
      const int64_t begin = std::max(kept.begin, range.begin), end = std::min(kept.end, range.end);
      if (begin < end) {
        if (mapped.begin < 0) mapped.begin = at + begin - kept.begin;
        mapped.end = at + end - kept.begin;
      }
      at += kept.size();
    }
    return mapped.begin < 0 ? TokenRange{} : mapped;
  }
  std::vector<int32_t> Ids(const std::vector<int32_t>& ids) const {
    std::vector<int32_t> out;
    out.reserve(size());
    for (const TokenRange& range : kept_)
      out.insert(out.end(), ids.begin() + range.begin, ids.begin() + range.end);
    return out;
  }
  TokenRange body() const { return {kept_[1].begin, kept_[kept_.size() - 2].end}; }

 private:
  std::vector<TokenRange> kept_;
};

}  // namespace longspan
