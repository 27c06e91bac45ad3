// EncoderConfig: what config.json says of every encoder but the Reformer, whatever its keys are
// called there. The configs of the architectures derive from it, so that layers, embeddings and
// ModelInfo are made from one kind of value. Plain values and free functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/checkpoint/json_reader.h"
#include "core/layers/linear.h"
#include "core/model_info.h"
#include "core/weights/weight_map.h"

namespace longspan {

struct EncoderConfig {
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  std::string num_layers_key;  // under which config.json says so
  int64_t num_heads = 0;
  int64_t intermediate_size = 0;
  int64_t max_position_embeddings = 0;
  int64_t type_vocab_size = 0;  // 0 = no token types
  double layer_norm_eps = 0;
  int64_t pad_token_id = 0;
  Activation activation = Activation::kGelu;
  // True (Longformer, RoBERTa): positions come from the ids; tokens take the rows from pad + 1 on
  // and the pad id takes row pad. False: they are 0, 1, 2, ...
  bool positions_behind_pad = false;

  int64_t LayersThatRun() const { return num_layers; }
  // ReadEncoderConfig refuses a hidden_size that does not divide evenly.
  int64_t head_size() const { return hidden_size / num_heads; }
  // The longest text that the position table serves, in tokens.
  int64_t max_tokens() const {
    return positions_behind_pad ? max_position_embeddings - pad_token_id - 1
                                : max_position_embeddings;
  }
};

// What an architecture calls its keys, and the value that the published library takes where a file
// lacks the key. An empty name means that the architecture has no such key: the value is then the
// fallback.
struct EncoderConfigKeys {
  struct Key {
    std::string_view name;
    int64_t fallback;
  };
  Key vocab_size;
  Key hidden_size = {"hidden_size", 768};
  Key num_layers = {"num_hidden_layers", 12};
  Key num_heads = {"num_attention_heads", 12};
  Key intermediate_size = {"intermediate_size", 3072};
  Key max_position_embeddings = {"max_position_embeddings", 512};
  Key type_vocab_size = {"type_vocab_size", 2};
  std::string_view layer_norm_eps = "layer_norm_eps";
  double layer_norm_eps_fallback = 1e-12;
  Key pad_token_id = {"pad_token_id", 0};
  std::string_view activation = "hidden_act";
  std::string_view activation_fallback = "gelu";
  bool positions_behind_pad = false;
};

// A reader of config.json that reads the keys which the table calls honoured for this model type
// (core/checkpoint/config_keys.h).
JsonReader ConfigReader(const nlohmann::json& config, std::string_view model_type,
                        const std::string& source);

// Reads and checks the keys; errors stay in the reader.
void ReadEncoderConfig(JsonReader& reader, const EncoderConfigKeys& keys, EncoderConfig& config);

// The activation that `key` names. Where the name is not known, the error stays in the reader.
Activation ReadActivation(JsonReader& reader, std::string_view key, std::string_view fallback);

// The part of ModelInfo that follows from an EncoderConfig; layers and global attention are left to
// the architecture. `num_linear_parameters` of the weights belong to linear layers, whose weights
// are held in the placement's type.
ModelInfo MakeModelInfo(std::string architecture, const EncoderConfig& config,
                        const WeightMap& weights, int64_t num_linear_parameters,
                        const Placement& placement);

}  // namespace longspan
