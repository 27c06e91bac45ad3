// LshAttention: a token attends to tokens that are like it, wherever they stand in the text,
// instead of to its neighbours. Queries and keys are one projection, qk. A random rotation hashes
// each token to a bucket (core/kernels/lsh_hash.h), so tokens with similar qk mostly share one. The
// tokens of a round are sorted by bucket and cut into chunks. Each chunk attends to itself and to
// the chunks beside it in that order. Several rounds with other rotations catch what one misses;
// they are merged by weights that follow from their logsumexps (core/kernels/lsh_merge.h).
//
// Example: tokens 0 ... 7 in the buckets 1 0 1 2 0 2 1 0, chunks of 2, one chunk before.
//   sorted by bucket:  1 4 7 | 0 2 6 | 3 5
//   chunks:            [1 4] [7 0] [2 6] [3 5]        the queries 7 and 0 see the keys 1 4 7 0
// A bucket may be cut in two, and a chunk may hold tokens of two buckets. The chunks alone decide;
// there is no bucket mask. They form one circle through all rounds: the first chunk of round r
// looks back at the last one of round r - 1. A token that meets its own copy there masks it as
// itself.
//
// Cost O(R·T·H·C·(before + 1 + after)·D) for R rounds, and O(R·T) each to hash and sort. Memory
// O(T·D) for each head at hand; the scores of a whole round never exist.
// Source: Reformer, arXiv 2001.04451, sec. 2. Deviations: core/models/reformer/README.md. Proven by
// lsh_attention_test and reformer_golden_test.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "core/attention/local_chunk_attention.h"
#include "core/kernels/lsh_merge.h"

namespace longspan {

class AttentionObserver;

// The random rotations of one seed, number of rounds and number of buckets, for all heads. Every
// LSH layer and every text uses the same ones.
struct LshRotations {
  int32_t num_hashes = 0;        // rounds
  std::vector<int32_t> factors;  // whose product is num_buckets; one entry = the number itself
  int32_t num_buckets = 0;       // of one round
  // [H, D, stride]; the first num_hashes * sum(factors) / 2 columns count, the others are zeros.
  at::Tensor values;
};

// Draws normal numbers of shape [H, D, rounds, sum(factors) / 2] from a CPU generator seeded with
// `seed`, the stream of numbers that the published models draw from. The generator of the process
// is not touched.
LshRotations DrawLshRotations(uint64_t seed, int64_t num_heads, int64_t head_size,
                              int32_t num_hashes, const std::vector<int32_t>& factors);

// The factors of the number of buckets for a model whose config leaves it open. The number is the
// largest power of two that is at most twice the number of chunks, so a bucket holds between half a
// chunk and one chunk of tokens on average. It becomes two factors where one would need too many
// columns of rotations. Example, chunks of 64 and 524,288 positions: a padded length of 1,024 gives
// {32}, one of 16,384 gives {16, 32}.
std::vector<int32_t> AutomaticLshBuckets(int64_t padded_length, int64_t chunk_length,
                                         int64_t max_position_embeddings);

// The LSH layers of one forward pass: buffers for some heads at a time, used layer after layer.
// Heads at hand have places h = 0 ... heads_at_once() - 1. For these heads the caller drives three
// stages:
//   1. Take qk and v of all rows, which are hashed and kept.
//   2. Sort.
//   3. Attend each block, round by round.
// Stages must not overlap. Calls of Take for other rows or places may overlap, and so may those of
// Attend.
class LshAttention {
 public:
  struct Text {
    ChunkedText rows;
    // Null for a text of at most one chunk: it is not hashed, and every token sees every token.
    const LshRotations* rotations = nullptr;
  };
  // Some chunks of one text in one round. A slot is a place in the sorted order.
  struct Block {
    int32_t text = 0;        // index in `texts`
    int32_t first_slot = 0;  // counted through all rounds of the text
    int32_t num_slots = 0;
  };

  // type     : float32 or bfloat16, in which qk and v are kept and attended; hashes come from the
  //            float32 qk in both
  // key_mask : [num_rows], 0 = not read; empty = all are read
  // The mask and the rotations must outlive this object. Throws c10::Error where a text's length
  // does not fit its rotations or the chunks.
  LshAttention(const ChunkShape& shape, at::ScalarType type, int64_t head_size,
               int64_t heads_at_once, std::vector<Text> texts, std::span<const uint8_t> key_mask,
               int64_t num_rows);

  int64_t heads_at_once() const { return heads_at_once_; }
  // Takes the packed rows from row_begin on, for the head at place h, which is `head` in the model.
  //   qk : [rows, D] float32
  //   v  : [rows, D]
  void Take(int64_t h, int64_t head, int64_t row_begin, const at::Tensor& qk, const at::Tensor& v);
  // Sorts the rows of the heads at the first num_heads places.
  void Sort(int64_t num_heads);

  // Rounds of the text that has most.
  int32_t num_rounds() const { return static_cast<int32_t>(blocks_.size()); }
  // All blocks of a round.
  const std::vector<Block>& blocks(int32_t round) const { return blocks_[round]; }
  // Tells the observer of the head at place h, which is `head` in the model, block by block. After
  // Sort.
  void Observe(int64_t h, int64_t head, AttentionObserver& observer) const;
  // Attention of a block, in slot order, on the calling thread alone.
  //   out : [num_slots, D] float32 or bfloat16
  //   lse : null, or [num_slots], becomes the logsumexp of the scores
  void Attend(int64_t h, const Block& block, at::Tensor& out, float* lse) const;
  // The packed row of slot i of a block is row_begin(block) + slots(h, block)[i]. Null stands for
  // the slots 0, 1, 2, ...
  const int32_t* slots(int64_t h, const Block& block) const;
  int64_t row_begin(const Block& block) const { return texts_[block.text].rows.row_begin; }

 private:
  // The chunks of a block and which of them each sees: all of the kernel's parameters but the
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
  // [texts + 1], where the slots of a text begin in buckets_ and slots_, all its rounds together.
  std::vector<int64_t> slot_begin_;
  std::vector<std::vector<Block>> blocks_;     // by round
  std::vector<at::Tensor> qkv_;                // by place: [rows, 2, D], qk and v
  std::vector<std::vector<int32_t>> buckets_;  // by place: the bucket of each position
  std::vector<std::vector<int32_t>> slots_;    // by place: the position at each slot
};

}  // namespace longspan
