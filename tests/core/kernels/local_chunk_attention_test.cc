#include "core/kernels/local_chunk_attention.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>

#include "core/kernels/cpu_features.h"
#include "tests/reference/lsh_attention.h"

namespace longspan::kernels {
namespace {

using Attention = void (*)(const ChunkAttentionParams&);

std::vector<std::pair<const char*, Attention>> Implementations() {
  std::vector<std::pair<const char*, Attention>> all = {{"portable", ChunkAttentionPortable}, {"dispatched", ChunkAttention}};
  if (GetCpuFeatures().avx512) all.push_back({"avx512", ChunkAttentionAvx512});
  return all;
}

std::vector<float> Normal(size_t count, float scale, std::mt19937& random) {
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// The tasks of one text in text order; key_slots must outlive them.
std::vector<ChunkTask> Tasks(const reference::ChunkedText& text, std::vector<int32_t>& key_slots) {
  const bool full = text.length <= text.chunk_length;
  const int32_t C = full ? text.length : text.chunk_length, num_chunks = text.length / C;
  const int32_t before = full ? 0 : text.chunks_before, after = full ? 0 : text.chunks_after, keys = before + 1 + after;
  key_slots.resize(num_chunks * keys);
  std::vector<ChunkTask> tasks;
  for (int32_t c = 0; c < num_chunks; ++c) {
    int32_t* slots = &key_slots[c * keys];
    CircularChunks(c, num_chunks, before, after, slots);
    for (int32_t i = 0; i < keys; ++i) slots[i] *= C;
    tasks.push_back({.query_slot = c * C, .length = C, .out_row = c * C, .num_key_chunks = keys, .key_slots = slots});
  }
  return tasks;
}

// Compares all implementations with the reference for one text of two heads whose q, k, v lie in one [length, 3, 2, D] buffer.
void ExpectEqualsReference(const reference::ChunkedText& text, std::mt19937& random) {
  const int D = text.head_size, H = 2, L = text.length;
  const std::vector<float> qkv = Normal(static_cast<size_t>(L) * 3 * H * D, 1.5f, random);
  std::vector<int32_t> key_slots;
  const std::vector<ChunkTask> tasks = Tasks(text, key_slots);
  const bool any_masked = std::count(text.read.begin(), text.read.end(), 0) > 0;
  for (const auto& [name, attention] : Implementations()) {
    std::vector<float> out(static_cast<size_t>(L) * H * D, NAN);
    attention({.q = &qkv[0],
               .k = &qkv[H * D],
               .v = &qkv[2 * H * D],
               .q_stride = 3 * H * D,
               .k_stride = 3 * H * D,
               .v_stride = 3 * H * D,
               .num_heads = H,
               .head_size = D,
               .causal = text.causal,
               .key_mask = any_masked ? text.read.data() : nullptr,
               .tasks = tasks.data(),
               .num_tasks = static_cast<int32_t>(tasks.size()),
               .out = out.data(),
               .out_stride = H * D});
    for (int h = 0; h < H; ++h) {
      std::vector<float> part[3];
      for (int t = 0; t < L; ++t) {
        for (int i = 0; i < 3; ++i)
          part[i].insert(part[i].end(), &qkv[((t * 3 + i) * H + h) * D], &qkv[((t * 3 + i) * H + h) * D] + D);
      }
      const std::vector<double> want = reference::LocalChunkAttention(text, part[0], part[1], part[2]);
      double worst = 0;
      for (int t = 0; t < L; ++t) {
        for (int d = 0; d < D; ++d)
          worst = std::max(worst, std::abs(want[t * D + d] - out[(t * H + h) * D + d]) / (1 + std::abs(want[t * D + d])));
      }
      EXPECT_LT(worst, 2e-5) << name << " L " << L << " C " << text.chunk_length << " before " << text.chunks_before << " after "
                             << text.chunks_after << " D " << D << " causal " << text.causal << " masked " << any_masked;
      EXPECT_FALSE(std::isnan(worst));
    }
  }
}

std::vector<uint8_t> Mask(int kind, int length, std::mt19937& random) {
  std::vector<uint8_t> read(length, 1);
  if (kind == 1) std::fill(read.begin() + length * 2 / 3, read.end(), 0);  // padding
  if (kind == 2) {
    for (uint8_t& value : read) value = random() % 4 != 0;  // holes
  }
  return read;
}

TEST(LocalChunkAttention, EqualsReference_OverShapes) {
  std::mt19937 random(3);
  for (auto [C, D] : {std::pair{1, 4}, {4, 8}, {6, 12}, {16, 16}, {17, 40}, {64, 64}}) {
    for (int length : {1, C - 1, C, 2 * C, 4 * C}) {
      if (length < 1) continue;
      for (int before : {0, 1, 2, 5}) {
        for (int after : {0, 1, 4}) {
          for (int mask : {0, 1, 2}) {
            for (bool causal : {false, true}) {
              ExpectEqualsReference({length, D, C, before, after, causal, Mask(mask, length, random)}, random);
            }
          }
        }
      }
    }
  }
}

// 2.9: where every key is masked, exp(s - z) with z = -1e9 + log n rounded back to -1e9 gives the sum of the values, not the
// mean.
TEST(LocalChunkAttention, AllKeysMasked_GivesTheSumOfTheValues) {
  const std::vector<float> zeros(4, 0.0f), v = {1, 2, 3, 4};
  const std::vector<uint8_t> nothing(4, 0);
  const int32_t key = 0;
  const ChunkTask task = {.query_slot = 0, .length = 4, .out_row = 0, .num_key_chunks = 1, .key_slots = &key};
  for (const auto& [name, attention] : Implementations()) {
    std::vector<float> out(4);
    attention({.q = zeros.data(),
               .k = zeros.data(),
               .v = v.data(),
               .q_stride = 1,
               .k_stride = 1,
               .v_stride = 1,
               .num_heads = 1,
               .head_size = 1,
               .key_mask = nothing.data(),
               .tasks = &task,
               .num_tasks = 1,
               .out = out.data(),
               .out_stride = 1});
    EXPECT_THAT(out, testing::Each(10.0f)) << name;
  }
}

TEST(CircularChunks, WrapsAround_AndAnOffsetOfAllChunksIsNoShift) {
  std::vector<int32_t> chunks(5);
  CircularChunks(0, 4, 1, 0, chunks.data());
  EXPECT_THAT(std::vector<int32_t>(chunks.begin(), chunks.begin() + 2), testing::ElementsAre(3, 0));
  CircularChunks(1, 2, 2, 2, chunks.data());
  EXPECT_THAT(chunks, testing::ElementsAre(1, 0, 1, 0, 1));
  chunks.resize(7);
  CircularChunks(1, 2, 3, 3, chunks.data());
  EXPECT_THAT(chunks, testing::ElementsAre(1, 1, 0, 1, 0, 1, 1));
}

}  // namespace
}  // namespace longspan::kernels
