// Softmax attention as its definition reads, one text and one head at a time: slow, obvious and in
// double precision. A pattern says how often query i counts key j. Nothing of the library is
// included, so that tests compare two independent programs.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace longspan::reference {

using AttentionPattern = std::function<int(int i, int j)>;  // 0 = hidden

struct AttentionResult {
  std::vector<double> out;  // [length * head_size]; a row that counts no key is zeros
  std::vector<double> lse;  // [length]; natural log of the sum of exponentials, -inf for such a row
};

// q, k and v are [length * head_size]. With c_ij what the pattern says:
//   out_i = sum_j c_ij e^(scale q_i·k_j) v_j / sum_j c_ij e^(scale q_i·k_j)
AttentionResult Attention(int length, int head_size, double scale, const std::vector<float>& q,
                          const std::vector<float>& k, const std::vector<float>& v,
                          const AttentionPattern& pattern);

// Longformer: query i sees key j where |i - j| <= window, or where j is one of `globals`, which
// ascend. A window below 0 is every key. `read` has one value for each token, or is empty, which is
// all tokens: where it is 0 the key is hidden and the row sees nothing, where it is 2 the key is
// hidden and the row sees the others.
AttentionPattern SlidingWindowPattern(int64_t window, const std::vector<int>& globals,
                                      const std::vector<uint8_t>& read);

// BigBird at inference: the first and the last block see every key. A block i between them sees the
// blocks {0, i-1, i, i+1, last}, and counts the keys of block 0 1 + random_blocks times. `read` as
// above.
AttentionPattern BlockSparsePattern(int length, int block_size, int random_blocks,
                                    const std::vector<uint8_t>& read);

}  // namespace longspan::reference
