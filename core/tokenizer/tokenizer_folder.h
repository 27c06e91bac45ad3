// The tokenizer files of a model folder, whatever their form, as the text of one tokenizer.json:
//
//   tokenizer.json            is taken as it is
//   vocab.json + merges.txt   byte-level BPE of RoBERTa, Longformer, LED and BART: <s> A </s>
//   vocab.txt                 BERT's normaliser, pre-tokeniser and WordPiece: [CLS] A [SEP]
//
// The last two take special tokens and flags (add_prefix_space, do_lower_case, strip_accents,
// tokenize_chinese_chars) from special_tokens_map.json, tokenizer_config.json and
// added_tokens.json, as `transformers` does. A free function without state: thread safe. Proven by
// tokenizer_folder_test.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace longspan {

struct TokenizerFiles {
  std::string json;            // the text of a tokenizer.json
  std::string name;            // the path of the file that it came from, for errors
  bool do_lower_case = false;  // as sentence_bert_config.json says
};

// NOT_FOUND: no tokenizer files. FAILED_PRECONDITION: only a SentencePiece model; the message says
// how to convert it. INVALID_ARGUMENT, UNIMPLEMENTED: files that cannot be used.
absl::StatusOr<TokenizerFiles> ReadTokenizerFolder(const std::string& model_dir);

}  // namespace longspan
