#include "server/text/lexical_vector.h"

#include <algorithm>
#include <bit>
#include <cstdlib>

namespace longspan {
namespace {

constexpr uint32_t kMultiplier1 = 0xcc9e2d51;
constexpr uint32_t kMultiplier2 = 0x1b873593;

uint32_t Scramble(uint32_t block) { return std::rotl(block * kMultiplier1, 15) * kMultiplier2; }

// MurmurHash3_x86_32 with seed 0 (Austin Appleby's SMHasher, in the public domain).
uint32_t MurmurHash3(std::string_view bytes) {
  const auto byte = [&](size_t i) { return uint32_t{static_cast<unsigned char>(bytes[i])}; };
  uint32_t hash = 0;
  const size_t blocks_end = bytes.size() / 4 * 4;
  for (size_t i = 0; i < blocks_end; i += 4) {
    hash ^= Scramble(byte(i) | byte(i + 1) << 8 | byte(i + 2) << 16 | byte(i + 3) << 24);
    hash = std::rotl(hash, 13) * 5 + 0xe6546b64;
  }
  uint32_t rest = 0;
  for (size_t i = bytes.size(); i > blocks_end; --i) rest = rest << 8 | byte(i - 1);
  hash ^= Scramble(rest);
  hash ^= static_cast<uint32_t>(bytes.size());
  hash = (hash ^ hash >> 16) * 0x85ebca6b;
  hash = (hash ^ hash >> 13) * 0xc2b2ae35;
  return hash ^ hash >> 16;
}

}  // namespace

uint32_t WordId(std::string_view stem) {
  const auto hash = static_cast<int32_t>(MurmurHash3(stem));
  return static_cast<uint32_t>(std::abs(int64_t{hash}));
}

LexicalVector WeighWords(std::vector<uint32_t> ids, const LexicalOptions& options,
                         double average_length) {
  const double norm =
      options.k1 * (1 - options.b + options.b * static_cast<double>(ids.size()) / average_length);
  std::sort(ids.begin(), ids.end());
  LexicalVector vector;
  for (auto word = ids.begin(); word != ids.end();) {
    const auto end = std::upper_bound(word, ids.end(), *word);
    const auto count = static_cast<double>(end - word);
    vector.indices.push_back(*word);
    vector.values.push_back(
        options.query ? 1.0f : static_cast<float>(count * (options.k1 + 1) / (count + norm)));
    word = end;
  }
  return vector;
}

}  // namespace longspan
