// Random texts for tests that mix them in a batch of the golden Reformer: lengths, masks, hash
// rounds and seeds.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "core/token_batch.h"

namespace longspan {

struct MixedText {
  std::vector<int32_t> ids;
  std::vector<uint8_t> mask;
  LshOptions lsh;
  TokenBatch::Text view() const { return {.token_ids = ids, .attention_mask = mask, .lsh = lsh}; }
};

inline MixedText RandomText(std::mt19937& random, int max_length) {
  MixedText text;
  const int length = 1 + static_cast<int>(random() % max_length);
  for (int i = 0; i < length; ++i) text.ids.push_back(1 + static_cast<int32_t>(random() % 39));
  if (random() % 3 == 0) {
    for (int i = 0; i < length; ++i) text.mask.push_back(i == 0 || random() % 4 != 0);
  }
  if (random() % 2 == 0) text.lsh.num_hashes = 1 + static_cast<int32_t>(random() % 8);
  if (random() % 3 == 0) text.lsh.hash_seed = random() % 3;
  return text;
}

}  // namespace longspan
