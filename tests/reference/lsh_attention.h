// Reformer's two attentions as their definitions read, one text and one head at a time: slow,
// obvious, double precision except where the rule itself is about float32 (scores, logsumexp and
// the exponent of their rounded difference). Stands alone: nothing of the library is included.
#pragma once

#include <cstdint>
#include <vector>

namespace longspan::reference {

struct ChunkedText {
  int length = 0;  // padded; a multiple of chunk_length where it is longer than that
  int head_size = 0;
  int chunk_length = 0;  // length <= chunk_length: every token sees every token
  int chunks_before = 1;
  int chunks_after = 0;
  bool causal = false;
  std::vector<uint8_t> read;  // [length]
};

// The chunk that chunk c of num_chunks sees at `offset`: around the ends; no shift where |offset|
// >= num_chunks.
int ShiftedChunk(int c, int offset, int num_chunks);

// q, k, v : [length * head_size] -> [length * head_size]
std::vector<double> LocalChunkAttention(const ChunkedText& text, const std::vector<float>& q,
                                        const std::vector<float>& k, const std::vector<float>& v);

// Bucket of one vector: argmax over [y, -y] for each factor, first maximum; y = x R in double.
// rotations : [head_size, num_hashes * sum(factors) / 2]; returns [num_hashes * length]; tokens
// that are not read: prod(factors).
std::vector<int> LshBuckets(const ChunkedText& text, const std::vector<float>& x,
                            const std::vector<float>& rotations, int num_hashes,
                            const std::vector<int>& factors);

// Sorted order of all rounds: [num_hashes * length] indices round * length + position, stable
// inside each round.
std::vector<int> LshSortedIndices(const std::vector<int>& buckets, int num_hashes, int length);

// qk, v : [length * head_size] -> [length * head_size]. `buckets` as LshBuckets gives them (unused
// where length <= chunk_length).
std::vector<double> LshAttention(const ChunkedText& text, const std::vector<float>& qk,
                                 const std::vector<float>& v, const std::vector<int>& buckets,
                                 int num_hashes);

// The pattern alone: for query position i of round r, the key positions in order (repeats
// included), masks not applied.
std::vector<int> LshKeysOf(const ChunkedText& text, const std::vector<int>& sorted, int round,
                           int position);

}  // namespace longspan::reference
