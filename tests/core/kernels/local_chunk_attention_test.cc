#include "core/kernels/local_chunk_attention.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>
#include <string>

#include "core/kernels/bfloat16.h"
#include "tests/reference/lsh_attention.h"

namespace longspan::kernels {
namespace {

// The implementations of this processor, and the public function, which chooses among them.
std::vector<ChunkAttentionImplementation> Implementations(ElementType type) {
  std::vector<ChunkAttentionImplementation> all = ChunkAttentionImplementations(type);
  all.push_back({"ChunkAttention", nullptr, ChunkAttention});
  return all;
}

// Values rounded to an element type: `floats` are what they are worth, `halves` the bytes that a
// kernel reads where the type is bfloat16.
struct Elements {
  ElementType type;
  std::vector<float> floats;
  std::vector<BFloat16> halves;

  Elements(std::vector<float> values, ElementType type) : type(type), floats(std::move(values)) {
    if (type == ElementType::kFloat32) return;
    for (float& value : floats) {
      halves.emplace_back();
      FromFloat(value, &halves.back());
      value = ToFloat(halves.back());
    }
  }
  const void* at(size_t i) const {
    return type == ElementType::kFloat32 ? static_cast<const void*>(&floats[i])
                                         : static_cast<const void*>(&halves[i]);
  }
};

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
  const int32_t before = full ? 0 : text.chunks_before;
  const int32_t after = full ? 0 : text.chunks_after;
  const int32_t keys = before + 1 + after;
  key_slots.resize(num_chunks * keys);
  std::vector<ChunkTask> tasks;
  for (int32_t c = 0; c < num_chunks; ++c) {
    int32_t* slots = &key_slots[c * keys];
    CircularChunks(c, num_chunks, before, after, slots);
    for (int32_t i = 0; i < keys; ++i) slots[i] *= C;
    tasks.push_back({.query_slot = c * C,
                     .length = C,
                     .out_row = c * C,
                     .num_key_chunks = keys,
                     .key_slots = slots});
  }
  return tasks;
}

// The reference gets the rounded elements. So with bfloat16 only the rounding of the probabilities
// (2^-9) and of the result is left to differ.
double Bound(ElementType type, ElementType out_type) {
  return type == ElementType::kFloat32 && out_type == ElementType::kFloat32 ? 2e-5 : 1e-2;
}

// Compares all implementations with the reference for one text of two heads whose q, k, v lie in
// one [length, 3, 2, D] buffer.
void ExpectEqualsReference(const reference::ChunkedText& text, std::mt19937& random,
                           ElementType type, ElementType out_type) {
  const int D = text.head_size, H = 2, L = text.length;
  const Elements elements(Normal(static_cast<size_t>(L) * 3 * H * D, 1.5f, random), type);
  const std::vector<float>& qkv = elements.floats;
  std::vector<int32_t> key_slots;
  const std::vector<ChunkTask> tasks = Tasks(text, key_slots);
  const bool any_masked = std::count(text.read.begin(), text.read.end(), 0) > 0;
  std::vector<double> want[H];
  for (int h = 0; h < H; ++h) {
    std::vector<float> part[3];
    for (int t = 0; t < L; ++t) {
      for (int i = 0; i < 3; ++i)
        part[i].insert(part[i].end(), &qkv[((t * 3 + i) * H + h) * D],
                       &qkv[((t * 3 + i) * H + h) * D] + D);
    }
    want[h] = reference::LocalChunkAttention(text, part[0], part[1], part[2]);
  }
  for (const auto& [name, needs, attention] : Implementations(type)) {
    std::vector<float> out(static_cast<size_t>(L) * H * D, NAN);
    std::vector<BFloat16> out_halves(out.size(), BFloat16{0x7fc0});
    attention({.type = type,
               .q = elements.at(0),
               .k = elements.at(H * D),
               .v = elements.at(2 * H * D),
               .q_stride = 3 * H * D,
               .k_stride = 3 * H * D,
               .v_stride = 3 * H * D,
               .num_heads = H,
               .head_size = D,
               .causal = text.causal,
               .key_mask = any_masked ? text.read.data() : nullptr,
               .tasks = tasks.data(),
               .num_tasks = static_cast<int32_t>(tasks.size()),
               .out_type = out_type,
               .out = out_type == ElementType::kFloat32 ? static_cast<void*>(out.data())
                                                        : static_cast<void*>(out_halves.data()),
               .out_stride = H * D});
    for (size_t i = 0; out_type == ElementType::kBFloat16 && i < out.size(); ++i)
      out[i] = ToFloat(out_halves[i]);
    double worst = 0;
    for (size_t i = 0; i < out.size(); ++i) {
      const double value = want[i / D % H][i / (H * D) * D + i % D];
      const double error = std::abs(value - out[i]) / (1 + std::abs(value));
      worst = error <= worst ? worst : error;  // a NaN becomes the worst, and then stays it
    }
    EXPECT_LT(worst, Bound(type, out_type))
        << name << " L " << L << " C " << text.chunk_length << " before " << text.chunks_before
        << " after " << text.chunks_after << " D " << D << " causal " << text.causal << " masked "
        << any_masked;
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

class LocalChunkAttention : public testing::TestWithParam<std::pair<ElementType, ElementType>> {};

TEST_P(LocalChunkAttention, EqualsReference_OverShapes) {
  std::mt19937 random(3);
  for (auto [C, D] : {std::pair{1, 4}, {4, 8}, {5, 7}, {6, 12}, {16, 16}, {17, 40}, {64, 64}}) {
    for (int length : {1, C - 1, C, 2 * C, 4 * C}) {
      if (length < 1 || (GetParam().first != GetParam().second && C != 5 && C != 17)) continue;
      for (int before : {0, 1, 2, 5}) {
        for (int after : {0, 1, 4}) {
          for (int mask : {0, 1, 2}) {
            for (bool causal : {false, true}) {
              ExpectEqualsReference(
                  {length, D, C, before, after, causal, Mask(mask, length, random)}, random,
                  GetParam().first, GetParam().second);
            }
          }
        }
      }
    }
  }
}

// Where every key is masked, z = -1e9 + log n is rounded back to -1e9, so exp(s - z) is 1 for each
// key: the result is the sum of the values, not their mean.
TEST_P(LocalChunkAttention, AllKeysMasked_GivesTheSumOfTheValues) {
  const auto [type, out_type] = GetParam();
  if (out_type == ElementType::kBFloat16) return;
  const Elements zeros(std::vector<float>(4, 0.0f), type), v({1, 2, 3, 4}, type);
  const std::vector<uint8_t> nothing(4, 0);
  const int32_t key = 0;
  const ChunkTask task = {
      .query_slot = 0, .length = 4, .out_row = 0, .num_key_chunks = 1, .key_slots = &key};
  for (const auto& [name, needs, attention] : Implementations(type)) {
    std::vector<float> out(4);
    attention({.type = type,
               .q = zeros.at(0),
               .k = zeros.at(0),
               .v = v.at(0),
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

INSTANTIATE_TEST_SUITE_P(Types, LocalChunkAttention,
                         testing::Values(std::pair{ElementType::kFloat32, ElementType::kFloat32},
                                         std::pair{ElementType::kFloat32, ElementType::kBFloat16},
                                         std::pair{ElementType::kBFloat16, ElementType::kFloat32},
                                         std::pair{ElementType::kBFloat16, ElementType::kBFloat16}),
                         [](const auto& info) {
                           const auto name = [](ElementType type) {
                             return type == ElementType::kFloat32 ? "Float32" : "BFloat16";
                           };
                           return std::string(name(info.param.first)) + "To" +
                                  name(info.param.second);
                         });

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
