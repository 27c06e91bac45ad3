// Reformer's two attentions as their definitions read, one text and one head at a time: slow and
// obvious. They are in double precision, except where the rule itself is about float32: scores,
// logsumexp and the rounded difference of the two. Nothing of the library is included, so that
// tests compare two independent programs.
#pragma once

#include <cstdint>
#include <vector>

namespace longspan::reference {

struct ChunkedText {
  int length = 0;  // in tokens, with padding; a multiple of chunk_length where it is above that
  int head_size = 0;
  int chunk_length = 0;   // in tokens; where length <= chunk_length, every token sees every token
  int chunks_before = 1;  // chunks of keys before and after its own that a chunk of queries sees
  int chunks_after = 0;
  bool causal = false;
  std::vector<uint8_t> read;  // [length]; 0 = padding, which nothing sees
};

// The chunk that chunk c of num_chunks sees at `offset`, around the ends. Where |offset| is
// num_chunks or more there is no shift.
int ShiftedChunk(int c, int offset, int num_chunks);

// q, k, v : [length * head_size] -> [length * head_size]
std::vector<double> LocalChunkAttention(const ChunkedText& text, const std::vector<float>& q,
                                        const std::vector<float>& k, const std::vector<float>& v);

// The buckets of all tokens, [num_hashes * length]: for each factor the first maximum of [y, -y],
// where y = x R in double precision. `x` is [length * head_size] and `rotations` is
// [head_size, num_hashes * sum(factors) / 2]. Tokens that are not read get prod(factors).
std::vector<int> LshBuckets(const ChunkedText& text, const std::vector<float>& x,
                            const std::vector<float>& rotations, int num_hashes,
                            const std::vector<int>& factors);

// The sorted order of all rounds: [num_hashes * length] indices round * length + position. Inside a
// round the sort by bucket is stable.
std::vector<int> LshSortedIndices(const std::vector<int>& buckets, int num_hashes, int length);

// qk, v : [length * head_size] -> [length * head_size]. `buckets` is what LshBuckets returns; it is
// not used where length <= chunk_length.
std::vector<double> LshAttention(const ChunkedText& text, const std::vector<float>& qk,
                                 const std::vector<float>& v, const std::vector<int>& buckets,
                                 int num_hashes);

// The pattern alone: the key positions that the query at `position` sees in `round`, in order, with
// repeats and before any mask. `sorted` is what LshSortedIndices returns.
std::vector<int> LshKeysOf(const ChunkedText& text, const std::vector<int>& sorted, int round,
                           int position);

}  // namespace longspan::reference
