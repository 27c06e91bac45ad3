// Tokenizer: text to token ids with byte and character offsets, by the Hugging Face `tokenizers`
// crate behind a C ABI of our own (ffi/).
//
// It is built from tokenizer.json, or from vocab.json and merges.txt, or from vocab.txt, in the way
// of the tokenizer class that the folder names (tokenizer_class.h). Truncation and padding that are
// stored in tokenizer.json are always switched off: the service itself has limits, and it does not
// apply them silently.
//
// The prefix of a multi-vector model that the vocabulary has as a token ("[unused0]", "[Q] ") is
// read as that token wherever it stands in a text, as in sentence-transformers.
//
// Thread safety: const methods may be called from many threads at once. Proven by
// tokenizer_parity_test, against the Python package.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/token_batch.h"
#include "core/tokenizer/text_chunks.h"

namespace longspan {

// A half-open range of a text, in bytes (UTF-8) or in characters (Unicode code points).
struct TextRange {
  int64_t begin = 0;
  int64_t end = 0;
  friend bool operator==(const TextRange&, const TextRange&) = default;
};

struct Tokenization {
  // All but `types` are [n], one value for each token. Ranges are those of the input; a special
  // token that was added has (0, 0).
  std::vector<int32_t> ids;
  // Token type ids; empty where all are 0 or the model is not given them (Tokenizer::types).
  std::vector<int32_t> types;
  std::vector<TextRange> bytes;
  std::vector<TextRange> characters;
  // 1 = added by the post-processor ([CLS], </s>, ...), 0 = read from the text.
  std::vector<uint8_t> special;
};

// Asked now and then by work that takes long: OK = go on; an error ends it and is its result.
// Empty = nobody asks.
using StopCheck = std::function<absl::Status()>;

class Tokenizer {
 public:
  // Loads from a model folder (see the class comment). NOT_FOUND: the folder has no tokenizer
  // files. FAILED_PRECONDITION: it has only a SentencePiece model, which must be converted first.
  // INVALID_ARGUMENT, UNIMPLEMENTED: files that cannot be used; the message names the component.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& model_dir);
  ~Tokenizer();

  // Takes time linear in the text's length. INVALID_ARGUMENT names the byte where the text is not
  // UTF-8. RESOURCE_EXHAUSTED where the process has a limit of address space (ulimit -v) and what
  // the crate may need does not fit: the crate itself would end the process. A text of 64 KiB and
  // more is tokenised in parts, where the tokenizer allows that (text_chunks.h): it gives the same
  // tokens in bounded memory. INVALID_ARGUMENT where more than a mebibyte of it has no place to
  // cut. Before each part `stop` is asked. Tests give other sizes.
  absl::StatusOr<Tokenization> Encode(std::string_view text, bool add_special_tokens = true,
                                      const StopCheck& stop = {},
                                      const ChunkSizes& sizes = {}) const;
  // Where a text may be cut; none where it is read in one piece.
  const CutRules& cut_rules() const;
  // The tokens of Encode, without their types, part by part in the order of the text: no more than
  // one part's are held at a time. Errors are those of Encode. An error of `take` ends it and is
  // returned.
  absl::Status EncodeByParts(std::string_view text, bool add_special_tokens,
                             const std::function<absl::Status(const Tokenization&)>& take) const;
  // The text of the ids. INVALID_ARGUMENT names an id that the vocabulary does not have.
  absl::StatusOr<std::string> Decode(const std::vector<int32_t>& ids,
                                     bool skip_special_tokens) const;

  // Tokens, added ones included. Ids may be larger: a vocabulary may have gaps.
  int64_t vocab_size() const;
  // The id of a token's text, nullopt where the vocabulary has none.
  std::optional<int32_t> IdOf(const std::string& token) const;
  // The texts of the mask, end-of-sequence and unknown tokens; empty = there is none.
  const std::string& mask_token() const;
  const std::string& end_token() const;
  const std::string& unknown_token() const;
  // The vocabulary's text of one id; INVALID_ARGUMENT where no token has it.
  absl::StatusOr<std::string> TokenText(int32_t id) const;
  // The special tokens that the post-processor puts in front of and behind a text.
  const std::vector<int32_t>& prefix_ids() const;
  const std::vector<int32_t>& suffix_ids() const;
  // The token type ids of those, and of every token of a text. All are 0 where the tokenizer's
  // class and its "model_input_names" give the model none.
  struct TokenTypes {
    std::vector<int32_t> prefix;  // [size of prefix_ids]
    int32_t text = 0;
    std::vector<int32_t> suffix;  // [size of suffix_ids]
    int32_t largest() const;      // of all of these
  };
  const TokenTypes& types() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace longspan
