// Token embeddings of Longformer and of RoBERTa: word + position + token type 0, then LayerNorm.
// Positions come from the ids (models: Longformer and RoBERTa number the tokens that are not
// padding, upward from pad + 1):
//   ids [7 9 pad 8], pad = 1   ->   position rows [2 3 1 4]
// With a period P (our converted models) the first token keeps its row and the rows behind it
// repeat, so that no text is too
// long:   P = 3:   rows 2 | 3 4 5 | 3 4 5 | 3 ...
// Thread safe after construction.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "core/layers/layer_norm.h"
#include "core/models/encoder_config.h"
#include "core/token_batch.h"
#include "core/weights/weight_map.h"

namespace longspan {

// How a token of a text finds its row of the position table.
struct PositionRule {
  int64_t first_row = 0;  // row of the first token
  int64_t pad_token_id =
      -1;              // ids that take row `pad_token_id` and do not count; -1 = every token counts
  int64_t period = 0;  // 0 = no repetition
  int64_t last_row =
      // tokens behind it share it: padding that a model adds behind a text of full length
      INT64_MAX;
};
// The rule of published checkpoints: from row 0, or from the ids upward from pad + 1.
PositionRule PublishedPositions(const EncoderConfig& config);
// Rows of all tokens of the batch; each text starts anew.
std::vector<int64_t> PositionRows(const TokenBatch& batch, const PositionRule& rule);

class TokenEmbeddings {
 public:
  // Weight names; empty `type` = no token types. `norm` without ".weight".
  struct Names {
    std::string word = "embeddings.word_embeddings.weight";
    std::string position = "embeddings.position_embeddings.weight";
    std::string type = "embeddings.token_type_embeddings.weight";
    std::string norm = "embeddings.LayerNorm";
  };
  // word_scale: of the word vectors (BigBird's rescale_embeddings).
  TokenEmbeddings(WeightMap& weights, const Names& names, const EncoderConfig& config,
                  const PositionRule& positions, double word_scale = 1);

  // [T, E] float32.
  at::Tensor operator()(const TokenBatch& batch) const;

 private:
  PositionRule positions_;
  double word_scale_;
  at::Tensor word_;      // [V, E]
  at::Tensor position_;  // [P, E]
  at::Tensor type_;      // [E], the row of type 0; undefined = none
  LayerNorm norm_;
};

}  // namespace longspan
