// EncoderConfig: what every encoder's config.json but the Reformer's says, under whatever keys. The
// architectures' own configs derive from it, so that layers, embeddings and ModelInfo are made from
// one kind of value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/layers/linear.h"
#include "core/model_info.h"
#include "core/models/config_reader.h"
#include "core/weights/weight_map.h"

namespace longspan {

struct EncoderConfig {
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t intermediate_size = 0;
  int64_t max_position_embeddings = 0;
  int64_t type_vocab_size = 0;  // 0 = no token types
  double layer_norm_eps = 0;
  int64_t pad_token_id = 0;
  Activation activation = Activation::kGelu;
  // Positions come from the ids: tokens take rows pad + 1 upward, the pad id row pad (Longformer,
  // RoBERTa). Else 0, 1, 2, ...
  bool positions_behind_pad = false;

  int64_t head_size() const {
    return hidden_size / num_heads;
  }  // the readers refuse what does not divide
  // Longest text that the position table serves.
  int64_t max_tokens() const {
    return positions_behind_pad ? max_position_embeddings - pad_token_id - 1
                                : max_position_embeddings;
  }
};

// What an architecture calls the keys, and the published library's value where a file lacks one. An
// empty name: no such key, the value is the fallback.
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

// Errors stay in the reader.
void ReadEncoderConfig(ConfigReader& reader, const EncoderConfigKeys& keys, EncoderConfig& config);

// The part of ModelInfo that follows from an EncoderConfig: no layers, no globals.
// `num_linear_parameters`: of those weights, the ones of linear layers (held in `dtype`).
ModelInfo MakeModelInfo(std::string architecture, const EncoderConfig& config,
                        const WeightMap& weights, int64_t num_linear_parameters, DataType dtype);

}  // namespace longspan
