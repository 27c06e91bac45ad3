#include "server/text/kept_tokens.h"

#include <algorithm>

namespace longspan {

KeptTokens::KeptTokens(const TokenLayout& layout, const std::vector<TokenRange>& body) {
  kept_.reserve(body.size() + 2);
  kept_.push_back({0, layout.body.begin});
  kept_.insert(kept_.end(), body.begin(), body.end());
  kept_.push_back({layout.body.end, layout.size()});
}

int64_t KeptTokens::size() const {
  int64_t total = 0;
  for (const TokenRange& range : kept_) total += range.size();
  return total;
}

int64_t KeptTokens::gap() const {
  const bool has_gap = kept_.size() == 4 && kept_[2].size() > 0 && kept_[1].end < kept_[2].begin;
  return has_gap ? kept_[0].size() + kept_[1].size() : 0;
}

TokenRange KeptTokens::Map(TokenRange range) const {
  TokenRange mapped{-1, -1};
  int64_t at = 0;  // where the kept range begins in the piece
  for (const TokenRange& kept : kept_) {
    const int64_t begin = std::max(kept.begin, range.begin);
    const int64_t end = std::min(kept.end, range.end);
    if (begin < end) {
      if (mapped.begin < 0) mapped.begin = at + begin - kept.begin;
      mapped.end = at + end - kept.begin;
    }
    at += kept.size();
  }
  return mapped.begin < 0 ? TokenRange{} : mapped;
}

std::vector<TokenRange> KeptTokens::MapAll(std::span<const TokenRange> ranges) const {
  std::vector<TokenRange> mapped;
  int64_t at = 0;  // where the kept range begins in the piece
  for (const TokenRange& kept : kept_) {
    auto range = std::partition_point(ranges.begin(), ranges.end(), [&](const TokenRange& given) {
      return given.end <= kept.begin;
    });
    for (; range != ranges.end() && range->begin < kept.end; ++range) {
      const TokenRange cut{std::max(range->begin, kept.begin), std::min(range->end, kept.end)};
      if (cut.size() > 0)
        mapped.push_back({at + cut.begin - kept.begin, at + cut.end - kept.begin});
    }
    at += kept.size();
  }
  return mapped;
}

std::vector<int32_t> KeptTokens::Ids(const std::vector<int32_t>& ids) const {
  std::vector<int32_t> out;
  out.reserve(size());
  for (const TokenRange& range : kept_)
    out.insert(out.end(), ids.begin() + range.begin, ids.begin() + range.end);
  return out;
}

}  // namespace longspan
