// A tokenizer for fuzz targets that is easy to check: each word between blanks is one token, whose
// id is the word's number of bytes, between [CLS] and [SEP]. A word of more than kMaxWord bytes is
// cut. It counts the bytes that it was given.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "server/text/preparation_context.h"
#include "server/text/text_segments.h"

namespace longspan {

class WordTokenizer {
 public:
  static constexpr int32_t kCls = 1, kSep = 2;
  static constexpr size_t kMaxWord = 100;

  absl::StatusOr<Tokenization> Encode(std::string_view text) {
    bytes_ += static_cast<int64_t>(text.size());
    Tokenization out;
    Add(&out, kCls, {}, {}, true);
    int64_t characters = 0;
    size_t counted = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t begin = text.find_first_not_of(" \n\t", at);
      if (begin == std::string_view::npos) break;
      at = std::min({text.find_first_of(" \n\t", begin), text.size(), begin + kMaxWord});
      while (at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) ++at;
      characters += CountCharacters(text.substr(counted, begin - counted));
      const int64_t size = CountCharacters(text.substr(begin, at - begin));
      Add(&out, static_cast<int32_t>(at - begin),
          {static_cast<int64_t>(begin), static_cast<int64_t>(at)}, {characters, characters + size},
          false);
      characters += size;
      counted = at;
    }
    Add(&out, kSep, {}, {}, true);
    return out;
  }
  int64_t bytes() const { return bytes_; }

 private:
  static void Add(Tokenization* out, int32_t id, TextRange bytes, TextRange characters,
                  bool special) {
    out->ids.push_back(id);
    out->bytes.push_back(bytes);
    out->characters.push_back(characters);
    out->special.push_back(special ? 1 : 0);
  }
  int64_t bytes_ = 0;
};

}  // namespace longspan
