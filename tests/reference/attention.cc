#include "tests/reference/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace longspan::reference {
namespace {

double Score(int head_size, double scale, const float* q, const float* k) {
  double sum = 0;
  for (int d = 0; d < head_size; ++d) sum += static_cast<double>(q[d]) * k[d];
  return sum * scale;
}

bool HasRow(const std::vector<uint8_t>& read, int token) {
  return read.empty() || read[token] != 0;
}

bool IsSeen(const std::vector<uint8_t>& read, int token) {
  return read.empty() || (read[token] != 0 && read[token] != 2);
}

}  // namespace

AttentionResult Attention(int length, int head_size, double scale, const std::vector<float>& q,
                          const std::vector<float>& k, const std::vector<float>& v,
                          const AttentionPattern& pattern) {
  AttentionResult result;
  result.out.resize(static_cast<size_t>(length) * head_size, 0.0);
  result.lse.resize(length, -std::numeric_limits<double>::infinity());
  for (int i = 0; i < length; ++i) {
    std::vector<double> score(length);
    std::vector<int> count(length);
    double maximum = -std::numeric_limits<double>::infinity();
    for (int j = 0; j < length; ++j) {
      count[j] = pattern(i, j);
      if (count[j] == 0) continue;
      score[j] = Score(head_size, scale, &q[static_cast<size_t>(i) * head_size],
                       &k[static_cast<size_t>(j) * head_size]);
      maximum = std::max(maximum, score[j]);
    }
    double sum = 0;
    for (int j = 0; j < length; ++j) {
      if (count[j] != 0) sum += count[j] * std::exp(score[j] - maximum);
    }
    if (sum == 0) continue;
    result.lse[i] = maximum + std::log(sum);
    for (int j = 0; j < length; ++j) {
      if (count[j] == 0) continue;
      const double p = count[j] * std::exp(score[j] - maximum) / sum;
      for (int d = 0; d < head_size; ++d)
        result.out[static_cast<size_t>(i) * head_size + d] +=
            p * v[static_cast<size_t>(j) * head_size + d];
    }
  }
  return result;
}

AttentionPattern SlidingWindowPattern(int64_t window, const std::vector<int>& globals,
                                      const std::vector<uint8_t>& read) {
  return [=](int i, int j) -> int {
    if (!HasRow(read, i) || !IsSeen(read, j)) return 0;
    return window < 0 || std::abs(i - j) <= window ||
           std::binary_search(globals.begin(), globals.end(), j);
  };
}

AttentionPattern BlockSparsePattern(int length, int block_size, int random_blocks,
                                    const std::vector<uint8_t>& read) {
  return [=](int i, int j) -> int {
    if (!HasRow(read, i) || !IsSeen(read, j)) return 0;
    const int row = i / block_size, key = j / block_size, last = length / block_size - 1;
    if (row == 0 || row == last) return 1;
    if (key == 0) return 1 + random_blocks;
    return key == last || std::abs(row - key) <= 1;
  };
}

}  // namespace longspan::reference
