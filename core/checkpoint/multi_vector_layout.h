// What a folder says of a multi-vector model (late interaction, ColBERT), in the three forms that
// there are:
//
//   sentence-transformers 6  config_sentence_transformers.json: "model_type": "MultiVectorEncoder";
//                            query expansion in sentence_bert_config.json, the skip list in the
//                            folder of a MultiVectorMask module
//   PyLate, up to 3          modules.json names Transformer and Dense alone; prefixes, lengths,
//                            expansion and skip list in config_sentence_transformers.json
//   Stanford ColBERT         no modules.json; "architectures": ["HF_ColBERT"] in config.json; the
//                            projection is "linear.weight" among the model's weights; all else in
//                            artifact.metadata
//
// All are read by the rules of MultiVectorEncoder of sentence-transformers 6.2, what they leave out
// included: PyLate and Stanford skip punctuation and expand queries where nothing says otherwise.
//
// Tokens are words here; core/multi_vector.h finds their ids. Free functions without state: thread
// safe. Errors are one line that names file and key. Proven by multi_vector_layout_test.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/checkpoint/sentence_layout.h"
#include "nlohmann/json.hpp"

namespace longspan {

struct MultiVectorConfig {
  struct Expansion {
    int64_t length = 0;  // as in QueryExpansion
    bool is_fixed = false;
    bool is_attended = false;
    std::string token;  // empty = the tokenizer's mask token, else its end-of-sequence token
  };
  int64_t query_length = 0;  // as in MultiVector
  int64_t document_length = 0;
  std::optional<Expansion> expansion;
  std::vector<std::string> skipped_words;  // those that are no token of the vocabulary do nothing
  bool skips_in_queries = false;
  bool skips_in_documents = true;
  // By "query" and "document": what stands in front of the prompt of that name. The tokenizer reads
  // the prefix, or else its first word, as one token where the vocabulary has it
  // (Tokenizer::Load).
  std::map<std::string, std::string> prefixes;
  // Of Stanford's folders: the projection has no module of its own.
  bool has_inline_projection = false;
};

// True where config.json names the architecture of Stanford's ColBERT.
bool IsStanfordColbert(const nlohmann::json& config);

// `modules` as ReadModules gives them, `config` the config.json of the transformer. nullopt: the
// folder is no multi-vector model.
absl::StatusOr<std::optional<MultiVectorConfig>> ReadMultiVector(
    const std::string& folder, const std::optional<SentenceModules>& modules,
    const nlohmann::json& config, Warnings* warnings);

// The prefixes of the folder's multi-vector model, in the order "query", "document"; none where it
// is no such model or has none.
absl::StatusOr<std::vector<std::string>> ReadPrefixes(const std::string& folder);

}  // namespace longspan
