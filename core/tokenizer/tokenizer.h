// Tokenizer: text to token ids with byte and character offsets, over the Hugging Face `tokenizers`
// crate behind our own C ABI (ffi/). Built from tokenizer.json, or from vocab.json + merges.txt, or
// from vocab.txt. Truncation and padding stored in tokenizer.json are always switched off: limits
// are the service's business, never silent.
//
// Thread safety: const methods may be called from many threads at once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/token_batch.h"

namespace longspan {

// A half-open range of a text, in bytes (UTF-8) or in characters (Unicode code points).
struct TextRange {
  int64_t begin = 0;
  int64_t end = 0;
  friend bool operator==(const TextRange&, const TextRange&) = default;
};

struct Tokenization {
  std::vector<int32_t> ids;      // [n]
  std::vector<TextRange> bytes;  // [n], of the input; (0, 0) for special tokens that were added
  std::vector<TextRange> characters;  // [n]
  std::vector<uint8_t>
      special;  // [n], 1 = added by the post-processor ([CLS], </s>, ...), not read from the text
};

class Tokenizer {
 public:
  // Loads from a model folder (see the class comment). NOT_FOUND if the folder has no tokenizer
  // files, INVALID_ARGUMENT / UNIMPLEMENTED with the component's name if they cannot be used.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& model_dir);
  ~Tokenizer();

  // Linear in the text's length. INVALID_ARGUMENT names the byte where the text is not UTF-8. A
  // text of more than half a mebibyte is tokenised in parts where its tokenizer and its blanks
  // allow it (text_chunks.h): the same tokens, in bounded memory.
  absl::StatusOr<Tokenization> Encode(std::string_view text, bool add_special_tokens = true) const;
  absl::StatusOr<std::string> Decode(const std::vector<int32_t>& ids,
                                     bool skip_special_tokens) const;

  int64_t vocab_size() const;  // added tokens included
  absl::StatusOr<std::string> TokenText(int32_t id) const;
  // Special tokens that the post-processor puts in front of and behind one text.
  const std::vector<int32_t>& prefix_ids() const;
  const std::vector<int32_t>& suffix_ids() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace longspan
