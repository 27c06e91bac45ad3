// ModelInfo: what a loaded model is and what it allows, in plain values. It is the one source for
// GetModelInfo, `longspan info`, `longspan-model inspect`, admission and validation. Filled once
// when the model is loaded, then constant.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace longspan {

// kFloat16 is for cards alone (core/backend).
enum class DataType { kFloat32, kBFloat16, kInt8, kFloat16 };
std::string_view DataTypeName(DataType dtype);  // "float32", "bfloat16", "int8", "float16"

// How the token vectors of a text become one vector. Where a model names several modes, their
// vectors are concatenated.
enum class PoolingMode { kCls, kMax, kMean, kMeanSqrtLen, kWeightedMean, kLastToken };
// The names of sentence-transformers: "cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean",
// "lasttoken".
std::string_view PoolingModeName(PoolingMode mode);
// True for cls and lasttoken, whose vector is that of one special token. It says nothing of a span
// of the text.
bool PoolsOneToken(PoolingMode mode);

// Which tokens attend to every token of their text and are attended by all of them.
enum class GlobalAttention { kNone, kCls, kPositions };

enum class AttentionKind { kDense, kSlidingWindow, kBlockSparse, kLsh, kLocalChunk };
// "dense", "sliding_window", "block_sparse", "lsh", "local_chunk".
std::string_view AttentionKindName(AttentionKind kind);

// The attention of one layer. Fields that its kind does not use are 0.
struct LayerAttention {
  AttentionKind kind = AttentionKind::kDense;
  int64_t window = 0;  // kSlidingWindow: one-sided, in tokens: query t sees t-window..t+window
  int64_t chunk_length = 0;   // kLsh, kLocalChunk: tokens of a chunk; kBlockSparse: of a block
  int64_t chunks_before = 0;  // kLsh, kLocalChunk: chunks that a query sees before its own
  int64_t chunks_after = 0;   // kLsh, kLocalChunk: chunks that a query sees behind its own
  // kBlockSparse: r of the published config. At inference its blocks are not random: block 0 counts
  // 1 + r times instead.
  int64_t random_blocks = 0;
};

// What a text is to a multi-vector model, which reads questions in another way than the texts that
// answer them.
enum class TextRole { kDocument, kQuery };
std::string_view TextRoleName(TextRole role);  // "document", "query": the names of their prompts

// Tokens that are put behind a query until it is `length` tokens long. Their vectors are compared
// like those of the query's own tokens.
struct QueryExpansion {
  int64_t length = 0;     // tokens of an expanded query, special tokens counted
  bool is_fixed = false;  // a query has no more than `length` tokens; false: it may be longer
  // Whether the other tokens see those that were added. Where not, these see the query alone.
  bool is_attended = false;
  int32_t token_id = 0;
};

// A multi-vector model (late interaction, ColBERT) gives a vector a token and none a text. The
// score of a document is the sum over the query's vectors of the largest dot product with one of
// the document's (MaxSim).
struct MultiVector {
  int64_t query_length = 0;     // the longest in training, in tokens; 0 = not known
  int64_t document_length = 0;  // likewise
  std::optional<QueryExpansion> expansion;
  // Tokens whose vectors are left out, punctuation as a rule: of texts of the roles below.
  std::vector<int32_t> skipped_ids;  // ascending
  bool skips_in_queries = false;
  bool skips_in_documents = true;

  // Whether the vector of this token is left out.
  bool Skips(TextRole role, int32_t token_id) const {
    const bool skips = role == TextRole::kQuery ? skips_in_queries : skips_in_documents;
    return skips && std::binary_search(skipped_ids.begin(), skipped_ids.end(), token_id);
  }
};

struct ModelInfo {
  std::string name;  // of its folder (core/checkpoint/model_name.h), or as the server is told
  std::string architecture;  // model_type of config.json: "longformer", "reformer", ...
  DataType dtype = DataType::kFloat32;
  std::string device = "cpu";

  int64_t hidden_size = 0;  // width of the residual stream
  // Width of one token vector (Reformer: 2 * hidden_size; multi-vector: behind its Dense modules).
  int64_t token_dimensions = 0;
  // Width of one text vector after pooling and Dense; 0 = the model has no text vectors.
  int64_t output_dimensions = 0;
  int64_t num_heads = 0;
  int64_t head_size = 0;
  int64_t intermediate_size = 0;
  int64_t vocab_size = 0;
  int64_t max_tokens = 0;  // of one text, special tokens included; 0 = the model sets no bound
  int64_t num_parameters = 0;
  int64_t weight_bytes = 0;  // as they are held in memory
  int32_t pad_token_id = 0;
  // Rows of the table of token types; 0 = the model has none and ignores types.
  int64_t num_token_types = 0;
  std::vector<LayerAttention> layers;

  std::vector<PoolingMode> pooling = {PoolingMode::kMean};  // empty where multi_vector is set
  bool normalize = false;  // text vectors, or the token vectors of a multi-vector model
  std::optional<MultiVector> multi_vector;  // nullopt = the model pools its tokens
  bool supports_global_attention = false;
  GlobalAttention default_global_attention = GlobalAttention::kNone;
  // The longest text, in tokens, that gets full attention and, by default, no global tokens; 0 = no
  // text does.
  int64_t dense_up_to = 0;
  bool supports_hashing = false;  // num_hashes and hash_seed may be chosen for each text
  int32_t num_hashes = 0;
  uint64_t hash_seed = 0;
  bool is_causal = false;
  // The model pads each text to a multiple of this, in tokens (Reformer, BigBird), and its results
  // depend on that.
  int64_t length_multiple = 1;

  std::map<std::string, std::string> prompts;  // prompt_name -> text put in front of the input
  std::string default_prompt_name;             // empty = none
  bool pool_prompt = true;  // false: the tokens of the prompt are left out of pooling

  // Whether the vectors of tokens have length 1. `asked`: EncodeOptions::normalize.
  bool NormalizesTokens(std::optional<bool> asked) const {
    return asked.value_or(multi_vector.has_value() && normalize);
  }
  // The prompt that a multi-vector model puts in front of texts of this role; null = none.
  const std::string* PromptOf(TextRole role) const {
    const auto prompt = prompts.find(std::string(TextRoleName(role)));
    return prompt == prompts.end() ? nullptr : &prompt->second;
  }
  // Whether the model takes a text of num_tokens tokens, special tokens included.
  bool TakesLength(int64_t num_tokens) const { return max_tokens == 0 || num_tokens <= max_tokens; }
  // `num_tokens`, or as many as the model takes where that is less.
  int64_t CutToLongest(int64_t num_tokens) const {
    return max_tokens == 0 ? num_tokens : std::min(num_tokens, max_tokens);
  }
};

}  // namespace longspan
