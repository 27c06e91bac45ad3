// TokenEmbeddings: word + position + token type, then LayerNorm. Used by BERT, RoBERTa,
// Longformer, LED and BigBird; Reformer and ModernBERT have embeddings of their own. Types are 0
// unless the batch says otherwise; LED has none.
//
// A PositionRule says which row of the position table a token takes. Examples, pad = 1:
//   BERT, LED, BigBird: rows 0 1 2 3 ... whatever the ids are.
//   RoBERTa, Longformer: tokens that are not padding count upward from row pad + 1, and a pad id
//     takes row pad:  ids [7 9 pad 8]  ->  rows [2 3 1 4]
//   Converted models, whose texts may have any length: the first token keeps its row and the rows
//     behind it repeat with a period P. P = 3:  rows 2 | 3 4 5 | 3 4 5 | 3 ...
// Sources: BERT, arXiv 1810.04805; RoBERTa, arXiv 1907.11692. Thread safe after construction.
// On a backend the tables are there, of the storage type, and ids and rows are uploaded.
// Proven by fixtures_test, longformer_golden_test and converted_model_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/backend/backend.h"
#include "core/layers/layer_norm.h"
#include "core/layers/placement.h"
#include "core/models/encoder_config.h"
#include "core/token_batch.h"
#include "core/weights/weight_map.h"

namespace longspan {

// How a token of a text finds its row of the position table.
struct PositionRule {
  int64_t first_row = 0;  // row of the first token
  // Tokens with this id take the row of this number and do not count; -1 = every token counts.
  int64_t pad_token_id = -1;
  int64_t period = 0;  // of the rows behind the first; 0 = they do not repeat
  // Tokens that would take a later row share this one. Only padding does, which a model adds behind
  // a text of full length.
  int64_t last_row = INT64_MAX;
};
// The rule of published checkpoints: row 0 for the first token, or row pad + 1 and pad ids apart
// (EncoderConfig::positions_behind_pad).
PositionRule PublishedPositions(const EncoderConfig& config);
// Row of each token of the batch, [T]; each text starts anew.
std::vector<int64_t> PositionRows(const TokenBatch& batch, const PositionRule& rule);

class TokenEmbeddings {
 public:
  // Names of the weights; `norm` is without ".weight" and ".bias".
  struct Names {
    std::string word = "embeddings.word_embeddings.weight";
    std::string position = "embeddings.position_embeddings.weight";
    std::string type = "embeddings.token_type_embeddings.weight";
    std::string norm = "embeddings.LayerNorm";
  };
  // Missing weights are recorded in the map. `word_scale` multiplies the word vectors (BigBird's
  // rescale_embeddings). config.type_vocab_size 0 = the model has no token types.
  TokenEmbeddings(WeightMap& weights, const Names& names, const EncoderConfig& config,
                  const PositionRule& positions, const Placement& placement, double word_scale = 1);

  // The embeddings of all tokens, [T, E] float32; on a backend of its storage type.
  at::Tensor operator()(const TokenBatch& batch) const;

 private:
  at::Tensor OnBackend(const TokenBatch& batch) const;

  PositionRule positions_;
  Placement placement_;
  EmbeddingTables tables_;
  LayerNorm norm_;
};

}  // namespace longspan
