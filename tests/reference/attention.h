// Softmax attention as its definition reads, one text and one head at a time: slow, obvious, double
// precision. A pattern says how often query i counts key j (0 = hidden). Stands alone: nothing of
// the library is included.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace longspan::reference {

using AttentionPattern = std::function<int(int i, int j)>;

struct AttentionResult {
  std::vector<double> out;  // [length * head_size]; a row that counts no key is zeros
  std::vector<double> lse;  // [length]; natural log of the sum of exponentials, -inf for such a row
};

// q, k, v : [length * head_size].  out_i = sum_j c_ij e^(scale q_i·k_j) v_j / sum_j c_ij e^(scale q_i·k_j)
AttentionResult Attention(int length, int head_size, double scale, const std::vector<float>& q,
                          const std::vector<float>& k, const std::vector<float>& v,
                          const AttentionPattern& pattern);

// Longformer: |i - j| <= window, or j global (ascending). `read` is empty (all) or one value per
// token: neither the key nor the row counts where it is 0. window < 0: every key.
AttentionPattern SlidingWindowPattern(int64_t window, const std::vector<int>& globals,
                                      const std::vector<uint8_t>& read);

// BigBird at inference: the first and the last block see all; block i between them sees {0, i-1, i,
// i+1, last}, block 0 counting 1 + random_blocks times.
AttentionPattern BlockSparsePattern(int length, int block_size, int random_blocks,
                                    const std::vector<uint8_t>& read);

}  // namespace longspan::reference
