// The tokenizer files of a model folder, whatever their form, and what a tokenizer class makes of
// them (tokenizer_class.h):
//
//   tokenizer.json            WordPiece, BPE, Unigram or WordLevel with all around it
//   vocab.json + merges.txt   byte-level BPE of RoBERTa, Longformer, LED and BART
//   vocab.txt                 WordPiece of BERT
//
// A free function without state: thread safe. Proven by tokenizer_folder_test.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/tokenizer/tokenizer_class.h"
#include "nlohmann/json.hpp"

namespace longspan {

struct TokenizerFiles {
  std::string json;         // the text of a tokenizer.json
  std::string name;         // the path of the file that it came from, for errors
  nlohmann::json document;  // that text without the vocabulary, and the recipe's components
  TokenizerRecipe recipe;
  bool do_lower_case = false;  // as sentence_bert_config.json says
  std::vector<std::string>
      prefixes;  // of a multi-vector model (core/checkpoint/multi_vector_layout.h)
};

// NOT_FOUND: no tokenizer files. FAILED_PRECONDITION: only a SentencePiece model; the message says
// how to convert it. INVALID_ARGUMENT, UNIMPLEMENTED: files that cannot be used.
absl::StatusOr<TokenizerFiles> ReadTokenizerFolder(const std::string& model_dir);

}  // namespace longspan
