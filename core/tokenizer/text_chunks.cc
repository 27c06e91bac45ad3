#include "core/tokenizer/text_chunks.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

constexpr size_t kLeadBytes = 64;  // one character would do
constexpr size_t kNoPlace = std::string_view::npos;

// The last place in (low, high], else the first one behind it and not behind `limit`.
size_t PlaceAfter(std::string_view text, const CutRules& rules, size_t low, size_t high,
                  size_t limit) {
  for (size_t at = high; at > low; --at)
    if (rules.Allow(text, at)) return at;
  for (size_t at = high + 1; at <= limit; ++at)
    if (rules.Allow(text, at)) return at;
  return kNoPlace;
}

size_t LeadOf(std::string_view text, size_t begin) {
  size_t lead = begin - std::min(begin, kLeadBytes);
  while (lead > 0 && (static_cast<uint8_t>(text[lead]) & 0xC0) == 0x80) --lead;
  return lead;
}

absl::Status Uncut(std::string_view text, const CutRules& rules, size_t begin, size_t allowed) {
  size_t end = begin + allowed;
  while (end < text.size() && !rules.Allow(text, end)) ++end;
  return WithReason(
      absl::InvalidArgumentError(absl::StrCat(
          "has ", end - begin, " bytes from byte ", begin,
          " on without a place where the text can be cut, such as a blank between two words; "
          "allowed: at most ",
          allowed)),
      kReasonMaxUncutBytes);
}

}  // namespace

absl::StatusOr<std::vector<TextChunk>> CutText(std::string_view text, const CutRules& rules,
                                               const ChunkSizes& sizes) {
  std::vector<TextChunk> chunks = {{0, 0, text.size()}};
  // Two steps advance by chunk_bytes at least: where the last place within it is near, there is
  // none behind that one.
  for (size_t low = 0; (text.size() - low) / 2 >= sizes.chunk_bytes;) {
    const size_t limit = low + std::min(text.size() - low - 1, sizes.longest_uncut);
    const size_t at = PlaceAfter(text, rules, low, std::min(low + sizes.chunk_bytes, limit), limit);
    if (at == kNoPlace) {
      if (text.size() - low <= sizes.longest_uncut) break;
      return Uncut(text, rules, low, sizes.longest_uncut);
    }
    chunks.back().end = at;
    chunks.push_back({.lead = LeadOf(text, at), .begin = at, .end = text.size()});
    low = at;
  }
  return chunks;
}

}  // namespace longspan
