#include "tests/reference/lsh_attention.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace longspan::reference {
namespace {

double Dot(const float* a, const float* b, int n) {
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

// m + log(sum exp(s - m)) with m the maximum, rounded to float32.
float LogSumExp(const std::vector<float>& s) {
  const float m = *std::max_element(s.begin(), s.end());
  double sum = 0;
  for (float x : s) sum += std::exp(static_cast<double>(x) - m);
  return m + static_cast<float>(std::log(sum));
}

// Writes sum_j exp(s_j - z) v_j over `keys`, of which scores[j] is that of keys[j]. Returns z.
float Attend(const std::vector<float>& scores, const std::vector<int>& keys,
             const std::vector<float>& v, int head_size, double* out) {
  const float z = LogSumExp(scores);
  std::fill(out, out + head_size, 0.0);
  for (size_t j = 0; j < keys.size(); ++j) {
    const float exponent = scores[j] - z;
    const double p = std::exp(static_cast<double>(exponent));
    for (int d = 0; d < head_size; ++d) out[d] += p * v[keys[j] * head_size + d];
  }
  return z;
}

float MaskedScore(const ChunkedText& text, double score, int query, int key, bool self_masked) {
  float s = static_cast<float>(score);
  if (!text.read[key] || (text.causal && key > query)) s = -1e9f;
  if (self_masked && key == query) s = -1e5f;
  return s;
}

std::vector<int> AllSlots(int n) {
  std::vector<int> slots(n);
  std::iota(slots.begin(), slots.end(), 0);
  return slots;
}

// The key positions that the chunk of `slot` sees, where order[s] is the position of slot s.
std::vector<int> KeysOfSlot(const ChunkedText& text, const std::vector<int>& order, int slot) {
  if (text.length <= text.chunk_length) return order;
  const int num_chunks = static_cast<int>(order.size()) / text.chunk_length;
  std::vector<int> keys;
  for (int offset = -text.chunks_before; offset <= text.chunks_after; ++offset) {
    const int chunk = ShiftedChunk(slot / text.chunk_length, offset, num_chunks);
    for (int i = 0; i < text.chunk_length; ++i)
      keys.push_back(order[chunk * text.chunk_length + i]);
  }
  return keys;
}

}  // namespace

int ShiftedChunk(int c, int offset, int num_chunks) {
  if (std::abs(offset) >= num_chunks) return c;
  return ((c + offset) % num_chunks + num_chunks) % num_chunks;
}

std::vector<double> LocalChunkAttention(const ChunkedText& text, const std::vector<float>& q,
                                        const std::vector<float>& k, const std::vector<float>& v) {
  const int D = text.head_size;
  std::vector<double> out(q.size());
  for (int query = 0; query < text.length; ++query) {
    const std::vector<int> keys = KeysOfSlot(text, AllSlots(text.length), query);
    std::vector<float> scores;
    for (int key : keys)
      scores.push_back(
          MaskedScore(text, Dot(&q[query * D], &k[key * D], D) / std::sqrt(static_cast<double>(D)),
                      query, key, false));
    Attend(scores, keys, v, D, &out[query * D]);
  }
  return out;
}

std::vector<int> LshBuckets(const ChunkedText& text, const std::vector<float>& x,
                            const std::vector<float>& rotations, int num_hashes,
                            const std::vector<int>& factors) {
  const int D = text.head_size, half_sum = std::accumulate(factors.begin(), factors.end(), 0) / 2;
  const int all = std::accumulate(factors.begin(), factors.end(), 1, std::multiplies<int>());
  std::vector<int> buckets(num_hashes * text.length);
  for (int h = 0; h < num_hashes; ++h) {
    for (int t = 0; t < text.length; ++t) {
      int bucket = 0, place = 1, column = h * half_sum;
      for (int factor : factors) {
        std::vector<double> y(factor);
        for (int c = 0; c < factor / 2; ++c) {
          for (int d = 0; d < D; ++d)
            y[c] += static_cast<double>(x[t * D + d]) *
                    rotations[d * num_hashes * half_sum + column + c];
          y[factor / 2 + c] = -y[c];
        }
        bucket += place * static_cast<int>(std::max_element(y.begin(), y.end()) - y.begin());
        place *= factor;
        column += factor / 2;
      }
      buckets[h * text.length + t] = text.read[t] ? bucket : all;
    }
  }
  return buckets;
}

std::vector<int> LshSortedIndices(const std::vector<int>& buckets, int num_hashes, int length) {
  std::vector<int> sorted = AllSlots(num_hashes * length);
  for (int h = 0; h < num_hashes; ++h) {
    std::stable_sort(sorted.begin() + h * length, sorted.begin() + (h + 1) * length,
                     [&](int a, int b) { return buckets[a] < buckets[b]; });
  }
  return sorted;
}

std::vector<int> LshKeysOf(const ChunkedText& text, const std::vector<int>& sorted, int round,
                           int position) {
  std::vector<int> order;
  for (int index : sorted) order.push_back(index % text.length);
  const auto begin = sorted.begin() + round * text.length;
  const int slot = static_cast<int>(
      std::find(begin, begin + text.length, round * text.length + position) - sorted.begin());
  return KeysOfSlot(text, order, slot);
}

std::vector<double> LshAttention(const ChunkedText& text, const std::vector<float>& qk,
                                 const std::vector<float>& v, const std::vector<int>& buckets,
                                 int num_hashes) {
  const int D = text.head_size, L = text.length;
  const bool full = L <= text.chunk_length;
  const int rounds = full ? 1 : num_hashes;
  const std::vector<int> sorted = full ? AllSlots(L) : LshSortedIndices(buckets, num_hashes, L);
  std::vector<float> keys(qk.size());
  for (int t = 0; t < L; ++t) {
    const double norm =
        std::sqrt(Dot(&qk[t * D], &qk[t * D], D) / D + 1e-6) * std::sqrt(static_cast<double>(D));
    for (int d = 0; d < D; ++d) keys[t * D + d] = static_cast<float>(qk[t * D + d] / norm);
  }
  std::vector<double> out(qk.size());
  std::vector<double> round_out(rounds * D);
  for (int query = 0; query < L; ++query) {
    std::vector<float> z(rounds);
    for (int r = 0; r < rounds; ++r) {
      const std::vector<int> seen = LshKeysOf(text, sorted, r, query);
      std::vector<float> scores;
      for (int key : seen)
        scores.push_back(
            MaskedScore(text, Dot(&qk[query * D], &keys[key * D], D), query, key, true));
      z[r] = Attend(scores, seen, v, D, &round_out[r * D]);
    }
    const float all = LogSumExp(z);
    for (int r = 0; r < rounds; ++r) {
      const float exponent = rounds == 1 ? 0.0f : z[r] - all;
      for (int d = 0; d < D; ++d)
        out[query * D + d] += std::exp(static_cast<double>(exponent)) * round_out[r * D + d];
    }
  }
  return out;
}

}  // namespace longspan::reference
