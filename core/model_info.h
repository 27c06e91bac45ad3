// ModelInfo: what a loaded model is and allows, in plain values: the one source for GetModelInfo,
// `longspan info`, `longspan-model inspect`, admission and validation. Filled once at load, then
// constant.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace longspan {

enum class DataType { kFloat32, kBFloat16, kInt8 };
std::string_view DataTypeName(DataType dtype);  // "float32", "bfloat16", "int8"

// How the token vectors of a text become one vector (sentence-transformers' names). Several are
// concatenated.
enum class PoolingMode { kCls, kMax, kMean, kMeanSqrtLen, kWeightedMean, kLastToken };
std::string_view PoolingModeName(
    PoolingMode mode);  // "cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"

// True for the poolings that take one token's vector: such a vector says nothing of a span.
constexpr bool PoolsOneToken(PoolingMode mode) {
  return mode == PoolingMode::kCls || mode == PoolingMode::kLastToken;
}

// Which tokens attend to, and are attended by, every token of their text.
enum class GlobalAttention { kNone, kCls, kPositions };

enum class AttentionKind { kDense, kSlidingWindow, kBlockSparse, kLsh, kLocalChunk };
std::string_view AttentionKindName(
    AttentionKind kind);  // "dense", "sliding_window", "block_sparse", "lsh", "local_chunk"

// Attention of one layer. Fields that its kind does not use are 0.
struct LayerAttention {
  AttentionKind kind = AttentionKind::kDense;
  int64_t window = 0;  // kSlidingWindow: one-sided, in tokens: query t sees t-window..t+window
  int64_t chunk_length = 0;   // kLsh, kLocalChunk: tokens a chunk; kBlockSparse: tokens a block
  int64_t chunks_before = 0;  // kLsh, kLocalChunk
  int64_t chunks_after = 0;   // kLsh, kLocalChunk
  int64_t random_blocks =
      0;  // kBlockSparse: r of the published config (block 0 counts 1 + r times at inference)
};

struct ModelInfo {
  std::string
      name;  // last component of the folder's path, or _name_or_path where the config has one
  std::string architecture;  // model_type of config.json: "longformer", "reformer", ...
  DataType dtype = DataType::kFloat32;
  std::string device = "cpu";

  int64_t hidden_size = 0;        // width of the residual stream
  int64_t token_dimensions = 0;   // width of one token vector (Reformer: 2 * hidden_size)
  int64_t output_dimensions = 0;  // width of one text vector after pooling and Dense
  int64_t num_heads = 0;
  int64_t head_size = 0;
  int64_t intermediate_size = 0;
  int64_t vocab_size = 0;
  int64_t max_tokens = 0;  // longest text, special tokens included; 0 = the model sets no bound
  int64_t num_parameters = 0;
  int64_t weight_bytes = 0;  // as held in memory
  int32_t pad_token_id = 0;
  std::vector<LayerAttention> layers;

  std::vector<PoolingMode> pooling = {PoolingMode::kMean};
  bool normalize = false;
  bool supports_global_attention = false;
  GlobalAttention default_global_attention = GlobalAttention::kNone;
  int64_t dense_up_to =
      0;  // texts up to this many tokens get full attention and no default globals; 0 = never
  bool supports_hashing = false;  // num_hashes and hash_seed may be chosen per text
  int32_t num_hashes = 0;
  uint64_t hash_seed = 0;
  bool is_causal = false;
  int64_t length_multiple =
      // the model pads each text to a multiple of this (Reformer, BigBird); results depend on it
      1;

  std::map<std::string, std::string> prompts;  // prompt_name -> text put in front of the input
  std::string default_prompt_name;             // empty = none
  bool pool_prompt = true;  // false: tokens of the prompt are left out of pooling
};

}  // namespace longspan
