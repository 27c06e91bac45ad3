// AttentionPattern: which token sees which in a layer of a model, for one text. It is recorded from
// a forward pass of the model itself, out of the structures that the kernels run
// (core/attention/attention_observer.h). A picture of it therefore shows what is computed. A
// pattern of n tokens takes 2·n^2 bytes. Proven by attention_pattern_test: it changes a token and
// looks which outputs change.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model_info.h"

namespace longspan {

// Why a query sees a key; a later reason is stronger.
enum class Sight : uint8_t {
  kHidden,       // it does not
  kSelfOnly,     // LSH: the token itself, which it sees only where nothing else is in reach
  kBeside,       // in a neighbouring chunk; LSH: in reach by the sorted order, of another bucket
  kNear,         // in the window, the own chunk, a neighbouring block; LSH: in the same bucket
  kGlobalKey,    // the key is one that every query sees
  kGlobalQuery,  // the query is one that sees every key
};

// A matrix [rows, rows]: query i in row i, key j in column j. A value type.
class AttentionPattern {
 public:
  explicit AttentionPattern(int64_t rows = 0)
      : rows_(rows), sight_(rows * rows, Sight::kHidden), times_(rows * rows, 0) {}

  int64_t rows() const { return rows_; }
  Sight sight(int64_t query, int64_t key) const { return sight_[query * rows_ + key]; }
  // How often the key counts in the query's softmax; for LSH, in how many rounds it is in reach.
  // 255 stands for 255 and more.
  int times(int64_t query, int64_t key) const { return times_[query * rows_ + key]; }
  bool sees(int64_t query, int64_t key) const { return sight(query, key) > Sight::kSelfOnly; }

  // The query sees the key `times` more times. The strongest reason is kept.
  void Add(int64_t query, int64_t key, Sight sight, int times);
  // The query sees nothing.
  void HideRow(int64_t query);
  // A query that could see nothing but itself does see itself: kSelfOnly becomes kNear in its row.
  void SettleSelf();

 private:
  int64_t rows_;
  std::vector<Sight> sight_;
  std::vector<uint8_t> times_;
};

// How one head of an LSH layer sorted the text, all rounds one behind the other.
struct LshSorting {
  int64_t head = 0;
  int32_t num_hashes = 0;   // rounds
  int32_t num_buckets = 0;  // of a round
  int32_t length = 0;       // slots of a round: the text and its padding
  // [num_hashes, length], the position at each slot. Positions from the text's length on are
  // padding.
  std::vector<int32_t> slots;
  std::vector<int32_t> buckets;  // [num_hashes, length], of each slot; num_buckets = padding
  AttentionPattern pattern;      // num_hashes * length rows, in sorted order
};

// The layers of one kind.
struct LayerPattern {
  std::vector<int> layers;  // those of this kind; the first of them was recorded
  LayerAttention attention;
  AttentionPattern pattern;           // one row for each token, in text order
  std::optional<LshSorting> sorting;  // of an LSH layer that hashes this text
};

struct PatternRequest {
  std::string model_dir;
  // Length of the text; with a text file, how many of its first tokens. nullopt = 64, or all of the
  // text file.
  std::optional<int64_t> tokens;
  std::string text_file;                        // empty = made-up tokens
  std::optional<std::vector<int32_t>> globals;  // positions; nullopt = the model's own default
  std::optional<int> layer;                     // nullopt = one layer of each kind
  int64_t head = 0;                             // whose LSH buckets are recorded
  std::optional<int32_t> num_hashes;            // hash rounds; nullopt = the model's own
};

struct RecordedPatterns {
  ModelInfo info;
  int64_t tokens = 0;
  std::vector<std::string> token_texts;  // [tokens], or empty where the tokens are made up
  std::vector<int32_t> globals;          // positions, ascending
  std::vector<LayerPattern> layers;
};

// The longest text of a pattern: 4,096 tokens take 2 * 4096^2 bytes, which are 32 MiB.
inline constexpr int64_t kMaxPatternTokens = 4096;

// Loads the model and runs one forward pass. Errors are one line: what, got, allowed.
// INVALID_ARGUMENT: a number out of its range. FAILED_PRECONDITION: the model has no such
// attention, or no tokenizer for a text file. NOT_FOUND: no text file. Errors of the model folder
// pass through.
absl::StatusOr<RecordedPatterns> RecordPatterns(const PatternRequest& request);

}  // namespace longspan
