// Who sees whom in each layer of a model, for one text: recorded from a forward pass of the model
// itself, out of the structures that its kernels run (core/attention/attention_observer.h), so that
// a picture of it cannot differ from what is computed. Proven by attention_pattern_test, which
// compares with the outputs that change when a token does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model_info.h"

namespace longspan {

// Why a query sees a key, the stronger reason last.
enum class Sight : uint8_t {
  kHidden,
  kSelfOnly,  // LSH: a token sees itself only where nothing else is in reach
  // a neighbouring chunk; LSH: in reach by the order of the buckets, but of another bucket
  kBeside,
  kNear,         // window, own chunk, neighbouring blocks; LSH: the same bucket
  kGlobalKey,    // a column that every row sees
  kGlobalQuery,  // a row that sees every key
};

// [rows, rows]: query i in row i, key j in column j.
class AttentionPattern {
 public:
  explicit AttentionPattern(int64_t rows = 0)
      : rows_(rows), sight_(rows * rows, Sight::kHidden), times_(rows * rows, 0) {}

  int64_t rows() const { return rows_; }
  Sight sight(int64_t query, int64_t key) const { return sight_[query * rows_ + key]; }
  // How often the key counts in the query's softmax (LSH: in how many rounds it is in reach); 255
  // and more are 255.
  int times(int64_t query, int64_t key) const { return times_[query * rows_ + key]; }
  bool sees(int64_t query, int64_t key) const { return sight(query, key) > Sight::kSelfOnly; }

  void Add(int64_t query, int64_t key, Sight sight, int times);
  void HideRow(int64_t query);
  // Rows that see nothing but themselves do see themselves.
  void SettleSelf();

 private:
  int64_t rows_;
  std::vector<Sight> sight_;
  std::vector<uint8_t> times_;
};

// How one head of an LSH layer sorted the text: all rounds one behind the other.
struct LshSorting {
  int64_t head = 0;
  int32_t num_hashes = 0;
  int32_t num_buckets = 0;  // of a round
  int32_t length = 0;       // slots of a round: the text and its padding
  std::vector<int32_t>
      slots;  // [num_hashes, length] position in the text; padding: its length and more
  std::vector<int32_t> buckets;  // [num_hashes, length] of each slot; num_buckets = padding
  AttentionPattern pattern;      // [num_hashes * length] in sorted order
};

// One kind of layer.
struct LayerPattern {
  std::vector<int> layers;  // that are of this kind; the first of them was recorded
  LayerAttention attention;
  AttentionPattern pattern;  // [tokens], in text order
  std::optional<LshSorting> sorting;
};

struct PatternRequest {
  std::string model_dir;
  std::optional<int64_t>
      tokens;  // nullopt: 64, or all of the text file; with a text file its first so many
  std::string text_file;                        // empty: made-up tokens
  std::optional<std::vector<int32_t>> globals;  // positions; nullopt = the model's own default
  std::optional<int> layer;                     // nullopt: one layer of each kind
  int64_t head = 0;                             // whose LSH buckets are recorded
  std::optional<int32_t> num_hashes;            // hash rounds; nullopt = the model's own
};

struct RecordedPatterns {
  ModelInfo info;
  int64_t tokens = 0;
  std::vector<std::string> token_texts;  // [tokens], or empty where the tokens are made up
  std::vector<int32_t> globals;
  std::vector<LayerPattern> layers;
};

inline constexpr int64_t kMaxPatternTokens = 4096;

// Errors are one line: what, got, allowed.
absl::StatusOr<RecordedPatterns> RecordPatterns(const PatternRequest& request);

}  // namespace longspan
