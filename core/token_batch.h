// TokenBatch: the packed input of one forward pass. There is no padding: the T tokens of B texts
// lie one behind the other. cu_seqlens marks the borders of the texts, which attention never
// crosses.
//
//   two texts of 3 and 2 tokens:        token_ids = [a b c | d e]   cu_seqlens = [0 3 5]
//   the second one's token 0 global:    globals   = [3]             cu_globals = [0 0 1]
//
// The numbers in globals are positions in the packed batch. A value type without synchronisation:
// fill it on one thread, then only read it. Proven by token_batch_test.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace longspan {

// A half-open range of tokens of one text.
struct TokenRange {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
  friend bool operator==(const TokenRange&, const TokenRange&) = default;
};

// LSH attention settings of one text (Reformer); other architectures have none.
struct LshOptions {
  // The most rounds that Encoder::Validate lets a caller ask for: time and memory grow with them.
  static constexpr int32_t kMaxHashes = 64;

  int32_t num_hashes = 0;             // hash rounds, up to kMaxHashes; 0 = the model's own number
  std::optional<uint64_t> hash_seed;  // seed of the rotations; nullopt = the model's own
};

class TokenBatch {
 public:
  // One text as the caller hands it over. The spans need to live only until Add returns.
  struct Text {
    std::span<const int32_t> token_ids;              // [n], n >= 1, special tokens included
    std::span<const int32_t> global_positions = {};  // ascending, unique, in [0, n)
    // [n], 0 = the token is not read (padding), kernels::kUnseen = it sees the others and no token
    // sees it (core/kernels/key_mask.h; not Reformer and BigBird); empty = every token is read.
    std::span<const uint8_t> attention_mask = {};
    LshOptions lsh = {};
    // [n] token type ids, below ModelInfo::num_token_types; empty = all are 0.
    std::span<const int32_t> token_types = {};
  };

  // Appends a text and returns its index in the batch.
  int32_t Add(const Text& text);

  int32_t num_texts() const { return static_cast<int32_t>(cu_seqlens_.size()) - 1; }
  int64_t num_tokens() const { return cu_seqlens_.back(); }
  int64_t length(int32_t text) const { return cu_seqlens_[text + 1] - cu_seqlens_[text]; }

  const std::vector<int32_t>& token_ids() const { return token_ids_; }    // [T]
  const std::vector<int32_t>& cu_seqlens() const { return cu_seqlens_; }  // [B+1]
  // [G], positions in the packed batch, ascending.
  const std::vector<int32_t>& globals() const { return globals_; }
  // [B+1], the borders of the texts in globals().
  const std::vector<int32_t>& cu_globals() const { return cu_globals_; }
  // [T]; empty = every token is read.
  const std::vector<uint8_t>& attention_mask() const { return mask_; }
  const LshOptions& lsh(int32_t text) const { return lsh_[text]; }
  // [T]; empty = all are 0.
  const std::vector<int32_t>& token_types() const { return token_types_; }

 private:
  std::vector<int32_t> token_ids_;
  std::vector<int32_t> cu_seqlens_ = {0};
  std::vector<int32_t> globals_;
  std::vector<int32_t> cu_globals_ = {0};
  std::vector<uint8_t> mask_;
  std::vector<LshOptions> lsh_;
  std::vector<int32_t> token_types_;
};

}  // namespace longspan
