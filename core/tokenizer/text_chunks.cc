#include "core/tokenizer/text_chunks.h"

#include <algorithm>

namespace longspan {
namespace {

constexpr size_t kLongestLeadWord = 64;

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool IsSafe(std::string_view text, size_t at) {
  return at > 0 && at + 1 < text.size() && text[at] == ' ' && IsLetter(text[at - 1]) &&
         IsLetter(text[at + 1]);
}

// Begin of the word of letters in front of a safe place, itself a safe place; npos = none.
size_t LeadOf(std::string_view text, size_t at) {
  size_t begin = at - 1;
  while (begin > 0 && at - begin < kLongestLeadWord && IsLetter(text[begin])) --begin;
  return IsSafe(text, begin) ? begin : std::string_view::npos;
}

// The last place in (low, high] to cut, with its lead.
bool FindBefore(std::string_view text, size_t low, size_t high, TextChunk* chunk) {
  for (size_t at = high; at > low; --at) {
    if (!IsSafe(text, at)) continue;
    const size_t lead = LeadOf(text, at);
    if (lead == std::string_view::npos || lead <= low) continue;
    *chunk = {.lead = lead, .begin = at};
    return true;
  }
  return false;
}

}  // namespace

std::vector<TextChunk> CutAtBlanks(std::string_view text, size_t chunk_bytes) {
  std::vector<TextChunk> chunks = {{0, 0, text.size()}};
  // Blocks without a place to cut are looked at once: the part goes on through them.
  for (size_t low = 0; text.size() - low > 2 * chunk_bytes; low += chunk_bytes) {
    TextChunk next;
    if (!FindBefore(text, low, low + chunk_bytes, &next)) continue;
    next.end = text.size();
    chunks.back().end = next.begin;
    chunks.push_back(next);
  }
  return chunks;
}

}  // namespace longspan
