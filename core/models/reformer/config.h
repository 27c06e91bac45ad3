// ReformerConfig: what config.json of a Reformer says, checked. The method is Reformer, arXiv
// 2001.04451; the keys are those of transformers and one of ours, axial_pos_order. A plain value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/attention/local_chunk_attention.h"
#include "core/layers/linear.h"
#include "nlohmann/json.hpp"

namespace longspan {

// Which of the two axial tables takes another row at each position (example in embeddings.h).
// Row-major, the second one, is what the published code computes. Column-major, the first one, is
// what descriptions of the method print (E1[j % l1], E2[j // l1]).
enum class AxialOrder { kRowMajor, kColumnMajor };

struct ReformerConfig {
  enum class LayerKind { kLocal, kLsh };

  std::vector<LayerKind> layers;  // that run: the first num_hidden_layers of attn_layers
  // Whether kinds occur in attn_layers, beyond the layers that run too: texts are padded for both.
  bool has_local = false;
  bool has_lsh = false;
  std::string num_layers_key;  // under which config.json says how many layers run
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;  // E; a token vector has 2E values
  int64_t num_heads = 0;    // H
  int64_t head_size = 0;    // D; H * D may differ from E
  int64_t intermediate_size = 0;
  Activation activation = Activation::kRelu;
  double layer_norm_eps = 0;
  int64_t pad_token_id = 0;
  int64_t max_position_embeddings = 0;

  bool axial = true;
  AxialOrder axial_order = AxialOrder::kRowMajor;
  std::vector<int64_t> axial_shape;   // {l1, l2}: l1 * l2 positions
  std::vector<int64_t> axial_widths;  // {d1, d2}: d1 + d2 = E

  ChunkShape local;
  ChunkShape lsh;
  std::vector<int32_t> num_buckets;  // factors; empty = they follow from each text's padded length
  int32_t num_hashes = 1;
  // null in the config becomes 0, so that the same text always gives the same vector.
  uint64_t hash_seed = 0;

  int64_t LayersThatRun() const { return static_cast<int64_t>(layers.size()); }
  bool Has(LayerKind kind) const { return kind == LayerKind::kLsh ? has_lsh : has_local; }
  // Texts longer than the shortest chunk are padded to a multiple of this: the least common
  // multiple of the chunk lengths of those kinds of layers that attn_layers names.
  int64_t length_multiple() const;
  int64_t PaddedLength(int64_t num_tokens) const;
  // How many rows a padded text may have. The product of the axial factors need not be
  // max_position_embeddings (only training needs that): the smaller number is the limit, as in the
  // published code.
  int64_t num_positions() const;
  // The longest text whose padded length the position tables serve, in tokens.
  int64_t max_tokens() const;
};

// INVALID_ARGUMENT names the key, what it holds and what is allowed. `source` is the file's name in
// errors.
absl::StatusOr<ReformerConfig> ParseReformerConfig(const nlohmann::json& config,
                                                   const std::string& source);

}  // namespace longspan
