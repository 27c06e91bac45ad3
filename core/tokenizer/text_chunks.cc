#include "core/tokenizer/text_chunks.h"

#include <algorithm>

namespace longspan {
namespace {

constexpr size_t kLongestLeadWord = 64;  // bytes; the search for a word's begin must end

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Whether the text may be cut in front of byte `at`.
bool IsSafe(std::string_view text, size_t at) {
  return at > 0 && at + 1 < text.size() && text[at] == ' ' && IsLetter(text[at - 1]) &&
         IsLetter(text[at + 1]);
}

// Where the word of letters in front of a safe place begins, with its blank, if that is a safe
// place too; npos = it is none.
size_t LeadOf(std::string_view text, size_t at) {
  size_t begin = at - 1;
  while (begin > 0 && at - begin < kLongestLeadWord && IsLetter(text[begin])) --begin;
  return IsSafe(text, begin) ? begin : std::string_view::npos;
}

// Finds the last place in (low, high] where the text may be cut, and the lead of the part behind
// it.
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
  // A block without a place to cut is looked at once; the part that has begun goes on through it.
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
