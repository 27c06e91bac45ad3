// LSH attention: tokens look for the tokens that are like them instead of their neighbours. Queries
// and keys are one projection (qk); a random rotation hashes each token to a bucket (lsh_hash.h);
// the tokens of a round are sorted by bucket and cut into chunks; each chunk attends to itself and
// to the chunks beside it in that order. Several rounds with other rotations catch what one misses
// and are merged by their logsumexp weights.
//
//   tokens 0..7, buckets 1 0 1 2 0 2 1 0    sorted 1 4 7 | 0 2 6 | 3 5      chunks of 2: [1 4] [7 0] [2 6] [3 5]
//   one chunk before: 7 and 0 see 1 4 7 0; a bucket may be cut in two, neighbours in order may be of another bucket: the chunk
//   rule alone decides, there is no bucket mask. Chunks form one circle through all rounds: the first chunk of round r looks back
//   at the last one of round r - 1, and a token that meets its own copy there masks it as itself.
//
// Cost O(rounds · T · H · C · (before + 1 + after) · D), memory O(T · D) for the heads at hand,
// never scores of all rounds. Source: Reformer, arXiv 2001.04451, sec. 2; deviations of the
// published code in core/models/reformer/README.md. Proven by lsh_attention_test and the golden
// tests.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "core/attention/local_chunk_attention.h"
#include "core/kernels/lsh_merge.h"

namespace longspan {

class AttentionObserver;

// The random rotations of one (seed, rounds, buckets), for all heads. The same numbers in every LSH
// layer and for every text.
struct LshRotations {
  int32_t num_hashes = 0;
  std::vector<int32_t> factors;  // buckets as a product; one entry = a plain number of buckets
  int32_t num_buckets = 0;       // the product
  at::Tensor values;  // [H, D, stride], the first num_hashes * sum(factors) / 2 columns count
};

// Normal numbers of shape [H, D, rounds, sum(factors) / 2] from a CPU generator of their own seeded
// with `seed`, the stream that the published models draw from; the process-wide generator stays
// untouched.
LshRotations DrawLshRotations(uint64_t seed, int64_t num_heads, int64_t head_size,
                              int32_t num_hashes, const std::vector<int32_t>& factors);

// Buckets of a model whose config leaves the number open, from the padded length: about two chunks'
// worth of tokens a bucket's half. Two factors where one number would need too many columns.
// Example: chunks of 64, 524288 positions: 1024 -> {32}, 16384 -> {16, 32}.
std::vector<int32_t> AutomaticLshBuckets(int64_t padded_length, int64_t chunk_length,
                                         int64_t max_position_embeddings);

// One forward pass of one layer kind: buffers for some heads at a time, used layer after layer. The
// caller drives three stages
//   1. Take qk and v of rows, which are hashed and kept                           (any thread, disjoint rows)
//   2. Sort
//   3. Attend each block, round by round
// Stages must not overlap; within one, calls are thread safe.
class LshAttention {
 public:
  struct Text {
    ChunkedText rows;
    const LshRotations* rotations =
        nullptr;  // null where the text is no longer than a chunk: full attention, no hashing
  };
  // Some chunks of one text and round. Its results are [num_slots, D] in slot order.
  struct Block {
    int32_t text = 0;
    int32_t first_slot = 0;  // counted through all rounds of the text
    int32_t num_slots = 0;
  };

  // type     : float32 or bfloat16, in which qk and v are kept and attended. Hashes come from the float32 qk either way.
  // key_mask : by packed row, 0 = not read; empty = all are. Must outlive the object, like the
  // rotations.
  LshAttention(const ChunkShape& shape, at::ScalarType type, int64_t head_size,
               int64_t heads_at_once, std::vector<Text> texts, std::span<const uint8_t> key_mask,
               int64_t num_rows);

  int64_t heads_at_once() const { return heads_at_once_; }
  // Of the rows from row_begin on, for the head at place h of those at hand.   qk : [rows, D] float32     v : [rows, D]
  void Take(int64_t h, int64_t head, int64_t row_begin, const at::Tensor& qk, const at::Tensor& v);
  void Sort(int64_t num_heads);

  int32_t num_rounds() const {
    return static_cast<int32_t>(blocks_.size());
  }  // of the text that has most
  const std::vector<Block>& blocks(int32_t round) const { return blocks_[round]; }
  // Tells the observer of the head at place h, which is head `head` of the model, after Sort: text
  // by text.
  void Observe(int64_t h, int64_t head, AttentionObserver& observer) const;
  // out : [num_slots, D], float32 or bfloat16     lse : [num_slots] or null
  void Attend(int64_t h, const Block& block, at::Tensor& out, float* lse) const;
  // Packed row of each slot of a block: row_begin(block) + slots(h, block)[i]; null slots = 0, 1,
  // 2, ...
  const int32_t* slots(int64_t h, const Block& block) const;
  int64_t row_begin(const Block& block) const { return texts_[block.text].rows.row_begin; }

 private:
  // The chunks of a block and who sees whom in them: everything of the kernel's parameters but the
  // tensors.
  struct BlockTasks {
    std::vector<int32_t> key_slots;
    std::vector<kernels::ChunkTask> tasks;
    kernels::ChunkAttentionParams params;  // points into the vectors
  };
  BlockTasks MakeTasks(int64_t h, const Block& block) const;
  void Hash(int64_t h, int64_t head, int64_t row_begin, const at::Tensor& qk);

  ChunkShape shape_;
  int64_t head_size_;
  int64_t heads_at_once_;
  std::vector<Text> texts_;
  std::span<const uint8_t> key_mask_;
  std::vector<int64_t>
      slot_begin_;  // [texts + 1] in buckets_ and slots_, all rounds of a text together
  std::vector<std::vector<Block>> blocks_;     // by round
  std::vector<at::Tensor> qkv_;                // by place, [rows, 2, D]
  std::vector<std::vector<int32_t>> buckets_;  // by place
  std::vector<std::vector<int32_t>> slots_;    // by place; positions in the text
};

}  // namespace longspan
