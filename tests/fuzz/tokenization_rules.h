// What holds for every tokenisation of a text: for the fuzz targets of the tokenizer.
#pragma once

#include <cstdlib>
#include <string_view>

#include "core/tokenizer/tokenizer.h"

namespace longspan {

inline void RequireOf(bool holds) {
  if (!holds) std::abort();
}

// Ids of the vocabulary, but for special tokens; offsets inside the text, on borders of characters,
// in order, and the same in bytes and in characters; none for special tokens.
inline void CheckTokenization(std::string_view text, const Tokenization& tokens,
                              const Tokenizer& tokenizer) {
  const size_t n = tokens.ids.size();
  RequireOf(tokens.bytes.size() == n && tokens.characters.size() == n &&
            tokens.special.size() == n);
  RequireOf(tokens.types.empty() || tokens.types.size() == n);
  // Characters in front of each byte; -1 inside of a character.
  std::vector<int64_t> before(text.size() + 1, -1);
  int64_t characters = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<uint8_t>(text[i]) & 0xC0) != 0x80) before[i] = characters++;
  }
  before[text.size()] = characters;
  int64_t last = 0;
  for (size_t i = 0; i < n; ++i) {
    // A template may put in an id that the vocabulary does not have, as in the published library.
    RequireOf(tokens.ids[i] >= 0 &&
              (tokens.special[i] != 0 || tokenizer.TokenText(tokens.ids[i]).ok()));
    const TextRange bytes = tokens.bytes[i], range = tokens.characters[i];
    if (tokens.special[i] != 0) {
      RequireOf(bytes == TextRange{} && range == TextRange{});
      continue;
    }
    RequireOf(0 <= bytes.begin && bytes.begin <= bytes.end &&
              bytes.end <= static_cast<int64_t>(text.size()));
    // A token of nothing but a blank that the tokenizer put in front of a part stands nowhere.
    if (bytes.begin == bytes.end) continue;
    RequireOf(bytes.begin >= last);
    last = bytes.begin;
    RequireOf(before[bytes.begin] == range.begin && before[bytes.end] == range.end);
  }
}

}  // namespace longspan
