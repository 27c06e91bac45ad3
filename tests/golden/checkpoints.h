// Formula checkpoints of the families that share BERT's names. The golden cases and the encoder
// tests load them.
#pragma once

#include <string>
#include <vector>

#include "tests/golden/formula_checkpoint.h"

namespace longspan {

inline const std::vector<std::string> kBertNorms = {"LayerNorm.weight", "layer_norm.weight"};

struct BertShape {
  int64_t vocab_size = 40;
  int64_t hidden_size = 24;
  int64_t num_layers = 2;
  int64_t num_heads = 3;
  int64_t intermediate_size = 32;
  int64_t max_positions = 66;
  int64_t types = 1;
};

// Adds embeddings.* and encoder.layer.N.*. `global_projections` adds Longformer's query_global,
// key_global and value_global.
inline void AddBertWeights(FormulaCheckpoint& checkpoint, const BertShape& shape,
                           bool global_projections) {
  const int64_t width = shape.hidden_size;
  checkpoint.Add("embeddings.word_embeddings.weight", {shape.vocab_size, width});
  checkpoint.Add("embeddings.position_embeddings.weight", {shape.max_positions, width});
  checkpoint.Add("embeddings.token_type_embeddings.weight", {shape.types, width});
  checkpoint.AddNorm("embeddings.LayerNorm", width);
  std::vector<std::string> projections = {"query", "key", "value"};
  if (global_projections)
    projections.insert(projections.end(), {"query_global", "key_global", "value_global"});
  for (int64_t i = 0; i < shape.num_layers; ++i) {
    const std::string layer = "encoder.layer." + std::to_string(i) + ".";
    for (const std::string& projection : projections)
      checkpoint.AddLinear(layer + "attention.self." + projection, width, width);
    checkpoint.AddLinear(layer + "attention.output.dense", width, width);
    checkpoint.AddNorm(layer + "attention.output.LayerNorm", width);
    checkpoint.AddLinear(layer + "intermediate.dense", shape.intermediate_size, width);
    checkpoint.AddLinear(layer + "output.dense", width, shape.intermediate_size);
    checkpoint.AddNorm(layer + "output.LayerNorm", width);
  }
}

inline nlohmann::json BertConfigJson(const std::string& model_type, const BertShape& shape) {
  return {{"model_type", model_type},
          {"vocab_size", shape.vocab_size},
          {"hidden_size", shape.hidden_size},
          {"num_hidden_layers", shape.num_layers},
          {"num_attention_heads", shape.num_heads},
          {"intermediate_size", shape.intermediate_size},
          {"max_position_embeddings", shape.max_positions},
          {"type_vocab_size", shape.types},
          {"hidden_act", "gelu"}};
}

// The golden Longformer: windows of 4 and 8 on both sides together, 66 positions, pad 1.
inline nlohmann::json LongformerConfigJson(const BertShape& shape = {}) {
  nlohmann::json config = BertConfigJson("longformer", shape);
  config["attention_window"] = {4, 8};
  config["layer_norm_eps"] = 1e-5;
  config["pad_token_id"] = 1;
  return config;
}

}  // namespace longspan
