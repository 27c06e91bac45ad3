// Any text through the tokenizers of the fixtures: the first byte chooses one, the rest is the
// text. Text that is not UTF-8 is refused; all other text gives tokens that keep the rules of
// tokenization_rules.h, and the same ones with and without special tokens, and the same ones in
// parts of a few bytes as in one piece.
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenization_rules.h"

namespace longspan {
namespace {

// One of each kind: WordPiece, byte-level BPE, BPE with byte fallback, metaspace, Unigram.
const std::vector<std::unique_ptr<Tokenizer>>& Tokenizers() {
  static const auto* all = [] {
    auto* made = new std::vector<std::unique_ptr<Tokenizer>>;
    for (const char* name : {"bert-uncased", "bert-cased", "roberta", "roberta-prefix-space",
                             "modernbert", "byte-fallback-bpe", "metaspace-bpe", "unigram"}) {
      auto tokenizer = Tokenizer::Load(std::string(LONGSPAN_FIXTURES "/tokenizers/") + name);
      RequireOf(tokenizer.ok());
      made->push_back(*std::move(tokenizer));
    }
    return made;
  }();
  return *all;
}

// The text in one piece and in parts of about `chunk_bytes` bytes, cut wherever it may be.
void CheckParts(const Tokenizer& tokenizer, std::string_view text, size_t chunk_bytes) {
  constexpr size_t kAny = std::numeric_limits<size_t>::max();
  const auto whole = tokenizer.Encode(text, true, {}, {.chunk_bytes = kAny});
  const auto parts =
      tokenizer.Encode(text, true, {}, {.chunk_bytes = chunk_bytes, .longest_uncut = kAny});
  RequireOf(whole.ok() == parts.ok());
  if (!whole.ok()) return;
  RequireOf(parts->ids == whole->ids);
  RequireOf(parts->bytes == whole->bytes);
  RequireOf(parts->characters == whole->characters);
  RequireOf(parts->special == whole->special);
}

void Check(std::string_view input) {
  if (input.empty()) return;
  const Tokenizer& tokenizer = *Tokenizers()[static_cast<uint8_t>(input[0]) % Tokenizers().size()];
  const std::string_view text = input.substr(1);
  const auto framed = tokenizer.Encode(text);
  const auto bare = tokenizer.Encode(text, /*add_special_tokens=*/false);
  RequireOf(framed.ok() == bare.ok());
  if (!framed.ok()) return RequireOf(framed.status().code() == absl::StatusCode::kInvalidArgument);
  CheckTokenization(text, *framed, tokenizer);
  CheckTokenization(text, *bare, tokenizer);
  const size_t prefix = tokenizer.prefix_ids().size(), suffix = tokenizer.suffix_ids().size();
  RequireOf(framed->ids.size() == prefix + bare->ids.size() + suffix);
  RequireOf(std::equal(bare->ids.begin(), bare->ids.end(), framed->ids.begin() + prefix));
  // Parts of 1 to 32 bytes, and longer ones of long texts, so that there are some hundreds at most.
  CheckParts(tokenizer, text, 1 + static_cast<uint8_t>(input[0]) / 8 + text.size() / 256);
  for (size_t i = 0; i < bare->ids.size() && i < 16; ++i)
    RequireOf(tokenizer.TokenText(bare->ids[i]).ok());
}

}  // namespace
}  // namespace longspan

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  longspan::Check({reinterpret_cast<const char*>(bytes), size});
  return 0;
}
