// The golden Reformer, whose weights come from the formula of formula_checkpoint.h with a scale of
// 0.6, and how its tests run a model.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/checkpoint/model_folder.h"
#include "core/models/reformer/model.h"
#include "tests/golden/formula_checkpoint.h"

namespace longspan {

inline nlohmann::json ReformerConfigJson() {
  return {{"model_type", "reformer"},
          {"attn_layers", {"local", "lsh", "local", "lsh"}},
          {"vocab_size", 40},
          {"hidden_size", 16},
          {"num_attention_heads", 2},
          {"attention_head_size", 8},
          {"feed_forward_size", 24},
          {"hidden_act", "relu"},
          {"layer_norm_eps", 1e-12},
          {"axial_pos_embds", true},
          {"axial_pos_shape", {8, 8}},
          {"axial_pos_embds_dim", {4, 12}},
          {"max_position_embeddings", 64},
          {"local_attn_chunk_length", 4},
          {"local_num_chunks_before", 1},
          {"local_num_chunks_after", 0},
          {"lsh_attn_chunk_length", 8},
          {"lsh_num_chunks_before", 1},
          {"lsh_num_chunks_after", 0},
          {"num_buckets", 4},
          {"num_hashes", 2},
          {"hash_seed", 0},
          {"is_decoder", false},
          {"pad_token_id", 0}};
}

// Adds every weight that the config asks for.
inline void AddReformerWeights(FormulaCheckpoint& checkpoint, const nlohmann::json& config) {
  const int64_t E = config["hidden_size"], F = config["feed_forward_size"];
  const int64_t inner =
      config["num_attention_heads"].get<int64_t>() * config["attention_head_size"].get<int64_t>();
  checkpoint.Add("embeddings.word_embeddings.weight", {config["vocab_size"], E});
  if (config["axial_pos_embds"]) {
    checkpoint.Add("embeddings.position_embeddings.weights.0",
                   {config["axial_pos_shape"][0], 1, config["axial_pos_embds_dim"][0]});
    checkpoint.Add("embeddings.position_embeddings.weights.1",
                   {1, config["axial_pos_shape"][1], config["axial_pos_embds_dim"][1]});
  } else {
    checkpoint.Add("embeddings.position_embeddings.embedding.weight",
                   {config["max_position_embeddings"], E});
  }
  for (size_t i = 0; i < config["attn_layers"].size(); ++i) {
    const std::string layer = "encoder.layers." + std::to_string(i) + ".";
    const bool lsh = config["attn_layers"][i] == "lsh";
    checkpoint.AddNorm(layer + "attention.layer_norm", E);
    const std::vector<std::string> projections =
        lsh ? std::vector<std::string>{"query_key", "value"}
            : std::vector<std::string>{"query", "key", "value"};
    for (const std::string& projection : projections)
      checkpoint.Add(layer + "attention.self_attention." + projection + ".weight", {inner, E});
    checkpoint.Add(layer + "attention.output.dense.weight", {E, inner});
    checkpoint.AddNorm(layer + "feed_forward.layer_norm", E);
    checkpoint.AddLinear(layer + "feed_forward.dense.dense", F, E);
    checkpoint.AddLinear(layer + "feed_forward.output.dense", E, F);
  }
  checkpoint.AddNorm("encoder.layer_norm", 2 * E);
}

inline absl::StatusOr<std::unique_ptr<EncoderModel>> OpenReformer(const std::string& path,
                                                                  const Placement& placement = {}) {
  absl::StatusOr<ModelFolder> folder = ModelFolder::Open(path);
  if (!folder.ok()) return folder.status();
  return LoadReformer(*folder, placement);
}

inline std::unique_ptr<EncoderModel> FormulaReformer(const nlohmann::json& config,
                                                     const Placement& placement = {}) {
  FormulaCheckpoint checkpoint(0.6, {"LayerNorm.weight", "layer_norm.weight"});
  AddReformerWeights(checkpoint, config);
  auto model = OpenReformer(checkpoint.Write(config), placement);
  EXPECT_TRUE(model.ok()) << model.status();
  return model.ok() ? *std::move(model) : nullptr;
}

// The token vectors of every text, one behind the other: [num_tokens, 2E].
inline std::vector<float> TokenVectors(const EncoderModel& model, const TokenBatch& batch,
                                       int32_t text, const ForwardOptions& options = {}) {
  const absl::StatusOr<HiddenStates> states = model.Forward(batch, options);
  EXPECT_TRUE(states.ok()) << states.status();
  const at::Tensor rows = states->Rows(text, 0, batch.length(text)).contiguous();
  return {rows.const_data_ptr<float>(), rows.const_data_ptr<float>() + rows.numel()};
}

}  // namespace longspan
