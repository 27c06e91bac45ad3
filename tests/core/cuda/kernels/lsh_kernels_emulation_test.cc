// The device's kernels of Reformer, run on the emulated device by way of their public calls,
// against the reference in double precision.
#include "tests/core/cuda/kernels/cuda_emulation.h"
#include "tests/core/cuda/kernels/emulated_ampere.h"
//
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "core/cuda/kernels/chunk_attention.cu"
#include "core/cuda/kernels/lsh_hash.cu"
#include "core/cuda/kernels/lsh_merge.cu"
#include "core/cuda/kernels/lsh_rotations.cu"
#include "core/cuda/kernels/lsh_sort.cu"
#include "tests/core/cuda/kernels/emulated_reformer.h"

namespace longspan::cuda {
namespace {

constexpr HashInput kFloat32 = HashInput::kFloat32, kBfloat16 = HashInput::kBfloat16;
constexpr HashUnits kTensor = HashUnits::kTensorCores, kPlain = HashUnits::kPlain;

// {name, lengths, heads, head size, rounds, chunk, before, after, causal, masked, factors, ...}
const ReformerLayer kLayers[] = {
    {"published", {320}, 2, 64, 1, 64, 1, 0, true, false, {64, 128}, kFloat32, kTensor},
    {"masked", {128, 17, 192}, 1, 64, 1, 64, 1, 0, true, true, {64, 128}, kBfloat16, kTensor},
    {"four_rounds", {192, 30, 128}, 1, 64, 4, 64, 1, 1, false, false, {32}, kFloat32, kPlain},
    {"chunks_of_32", {96, 5, 64}, 2, 64, 2, 32, 1, 1, false, true, {128}, kBfloat16, kPlain},
    {"chunks_of_16", {80, 5, 1}, 1, 64, 3, 16, 2, 1, true, false, {4}, kBfloat16, kTensor},
    {"size_128", {256, 100}, 1, 128, 2, 128, 1, 0, true, false, {64, 128}, kFloat32, kTensor},
    {"chunks_of_256", {512}, 1, 128, 1, 256, 1, 0, true, false, {64}, kBfloat16, kTensor},
    {"size_128_plain", {32, 64}, 1, 128, 1, 32, 0, 1, false, false, {2}, kFloat32, kPlain},
    {"three_factors", {128, 20}, 2, 32, 3, 64, 1, 0, false, true, {4, 6, 10}, kFloat32, kTensor},
    {"chunks_of_48", {96, 144}, 1, 32, 2, 48, 0, 2, false, false, {16, 32}, kBfloat16, kTensor},
    {"more_heads_than_blocks", {288}, 6, 32, 1, 32, 1, 0, true, false, {2}, kFloat32, kPlain},
    {"one_chunk_each", {64, 63, 1}, 2, 64, 2, 64, 1, 0, true, true, {32}, kFloat32, kTensor},
    {"looks_past_the_circle", {128}, 1, 64, 1, 64, 2, 2, false, true, {32}, kBfloat16, kPlain},
    {"local_published", {320}, 2, 64, 1, 64, 1, 0, true, false, {}},
    {"local_texts", {64, 1, 63, 192}, 1, 64, 1, 64, 1, 0, true, true, {}},
    {"local_both_sides", {192, 64, 30}, 1, 64, 1, 64, 2, 1, false, false, {}},
    {"local_size_128", {256, 100}, 1, 128, 1, 128, 1, 0, true, false, {}},
    {"local_chunks_of_32", {96, 20}, 3, 32, 1, 32, 1, 1, false, true, {}},
    {"local_chunks_of_48", {96, 144, 7}, 1, 64, 1, 48, 0, 0, true, false, {}},
};

class EmulatedLshKernels : public testing::TestWithParam<ReformerLayer> {
 protected:
  void SetUp() override {
    if (!emulation::kCanEmulate) GTEST_SKIP() << "sanitizers do not know the stacks of fibers";
    emulation::Seed(1);
  }
};
INSTANTIATE_TEST_SUITE_P(Layers, EmulatedLshKernels, testing::ValuesIn(kLayers),
                         [](const auto& info) { return info.param.name; });

bool IsCut(const reference::ChunkedText& text) { return text.length > text.chunk_length; }

// y of the bucket's direction in double precision, factor by factor, and how large y may be.
struct Directions {
  std::vector<double> values;
  double size = 0;
};
Directions DirectionsOf(const ReformerLayer& layer, const float* x, const std::vector<float>& r,
                        int round, int bucket) {
  Directions directions;
  const int columns = layer.rounds * SumOf(layer.factors) / 2;
  int column = round * SumOf(layer.factors) / 2;
  for (const int factor : layer.factors) {
    const int index = bucket % factor;
    double y = 0;
    for (int d = 0; d < layer.head_size; ++d) {
      y += double{x[d]} * r[static_cast<size_t>(d) * columns + column + index % (factor / 2)];
    }
    directions.values.push_back(index < factor / 2 ? y : -y);
    bucket /= factor;
    column += factor / 2;
  }
  for (int d = 0; d < layer.head_size; ++d) directions.size += std::fabs(double{x[d]});
  return directions;
}

// Another bucket than the reference's is right where its direction is as good to 1e-6.
TEST_P(EmulatedLshKernels, HashIntoTheBucketsOfTheReference) {
  const ReformerLayer& layer = GetParam();
  if (!layer.is_lsh()) return;
  EmulatedReformer device(layer);
  device.Hash();
  ASSERT_EQ(device.status, cudaSuccess);
  for (int text = 0; text < device.num_texts(); ++text) {
    for (int head = 0; head < layer.heads; ++head) {
      const reference::ChunkedText t = device.Text(text);
      const std::vector<int> got = device.Buckets(text, head);
      if (!IsCut(t)) {
        ASSERT_EQ(std::count(got.begin(), got.end(), 0), std::ssize(got)) << "a text of one chunk";
        continue;
      }
      const std::vector<float> x = device.Hashed(text, head), r = device.Rotations(head);
      const std::vector<int> want = reference::LshBuckets(t, x, r, layer.rounds, layer.factors);
      for (size_t i = 0; i < got.size(); ++i) {
        if (got[i] == want[i]) continue;
        const int token = static_cast<int>(i) % t.length, round = static_cast<int>(i) / t.length;
        ASSERT_TRUE(t.read[static_cast<size_t>(token)]) << "token " << token;
        const float* row = x.data() + static_cast<size_t>(token) * layer.head_size;
        const Directions best = DirectionsOf(layer, row, r, round, want[i]);
        const Directions other = DirectionsOf(layer, row, r, round, got[i]);
        for (size_t f = 0; f < best.values.size(); ++f) {
          ASSERT_NEAR(best.values[f], other.values[f], 1e-6 * best.size) << "token " << token;
        }
      }
    }
  }
}

TEST_P(EmulatedLshKernels, KeysNameHeadRoundAndText) {
  const ReformerLayer& layer = GetParam();
  if (!layer.is_lsh()) return;
  EmulatedReformer device(layer);
  device.Hash();
  ASSERT_EQ(device.status, cudaSuccess);
  for (int head = 0; head < layer.heads; ++head) {
    for (int round = 0; round < layer.rounds; ++round) {
      for (int row = 0; row < device.num_rows(); ++row) {
        const uint32_t key = device.keys[device.slot(head, round, row)];
        ASSERT_LT(key, device.num_sort_keys());
        const int segment = static_cast<int>(key) / device.buckets_a_round();
        const int text = device.row_text[static_cast<size_t>(row)];
        ASSERT_EQ(segment, (head * layer.rounds + round) * device.num_texts() + text);
      }
    }
  }
}

TEST_P(EmulatedLshKernels, SortEachRoundOfEachTextStably) {
  const ReformerLayer& layer = GetParam();
  if (!layer.is_lsh()) return;
  EmulatedReformer device(layer);
  device.Hash();
  device.Sort();
  ASSERT_EQ(device.status, cudaSuccess);
  for (int text = 0; text < device.num_texts(); ++text) {
    for (int head = 0; head < layer.heads; ++head) {
      const int length = layer.lengths[static_cast<size_t>(text)];
      const std::vector<int> want =
          reference::LshSortedIndices(device.Buckets(text, head), layer.rounds, length);
      for (size_t i = 0; i < want.size(); ++i) {
        const int round = static_cast<int>(i) / length, place = static_cast<int>(i) % length;
        ASSERT_EQ(device.order[device.slot(head, round, device.begin(text) + place)],
                  device.begin(text) + want[i] % length);
      }
    }
  }
}

TEST_P(EmulatedLshKernels, PlanNamesTheTextOfEachRowAndChunk) {
  const ReformerLayer& layer = GetParam();
  EmulatedReformer device(layer);
  ASSERT_EQ(device.status, cudaSuccess);
  size_t row = 0, i = 0;
  for (int text = 0; text < device.num_texts(); ++text) {
    const int length = layer.lengths[static_cast<size_t>(text)];
    for (int t = 0; t < length; ++t, ++row) ASSERT_EQ(device.row_text[row], text);
    for (int chunk = 0; chunk < NumChunks(length, layer.chunk_length); ++chunk, ++i) {
      ASSERT_EQ(device.chunks[i].text, text);
      ASSERT_EQ(device.chunks[i].chunk, chunk);
    }
  }
}

// Values in bfloat16 have 8 bits: each is off by up to 2^-9 of itself, as are the probabilities.
TEST_P(EmulatedLshKernels, AttendAsTheReference) {
  const ReformerLayer& layer = GetParam();
  EmulatedReformer device(layer);
  device.Run();
  ASSERT_EQ(device.status, cudaSuccess);
  const int size = layer.head_size;
  double errors = 0, squares = 0;
  for (int text = 0; text < device.num_texts(); ++text) {
    for (int head = 0; head < layer.heads; ++head) {
      const reference::ChunkedText t = device.Text(text);
      const std::vector<float> q = device.Values(text, head, 0), v = device.Values(text, head, 2);
      const std::vector<double> want =
          layer.is_lsh()
              ? reference::LshAttention(t, q, v, device.Buckets(text, head), layer.rounds)
              : reference::LocalChunkAttention(t, q, device.Values(text, head, 1), v);
      for (int token = 0; token < t.length; ++token) {
        const uint16_t* row = device.out.data() +
                              static_cast<size_t>(device.begin(text) + token) * device.out_stride();
        double error = 0, square = 0;
        for (int d = 0; d < size; ++d) {
          const double w = want[static_cast<size_t>(token * size + d)];
          const double difference = LowBfloat16(row[head * size + d]) - w;
          error += difference * difference;
          square += w * w;
        }
        ASSERT_LE(std::sqrt(error), 0.03 * std::sqrt(square) + 1e-6) << text << ", " << token;
        errors += error;
        squares += square;
        for (int d = layer.heads * size; d < device.out_stride(); ++d) {
          ASSERT_EQ(row[d], 0xffff) << "a write beside the rows";
        }
      }
    }
  }
  EXPECT_LT(std::sqrt(errors), 0.004 * std::sqrt(squares));
}

// The log of the sum of exponentials of what a query sees in one round.
double LseOf(const reference::ChunkedText& text, const std::vector<int>& keys, int query,
             const std::vector<float>& q, const std::vector<float>& k, bool is_lsh) {
  const int size = text.head_size;
  std::vector<double> scores;
  for (const int key : keys) {
    double dot = 0, squares = 0;
    for (int d = 0; d < size; ++d) {
      const double x = k[static_cast<size_t>(key * size + d)];
      dot += x * q[static_cast<size_t>(query * size + d)];
      squares += x * x;
    }
    double score = dot / std::sqrt(static_cast<double>(size));
    if (is_lsh) score /= std::sqrt(squares / size + 1e-6);
    if (!text.read[static_cast<size_t>(key)] || (text.causal && key > query)) score = -1e9;
    if (is_lsh && key == query) score = -1e5;
    scores.push_back(score);
  }
  const double most = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (const double score : scores) sum += std::exp(score - most);
  return most + std::log(sum);
}

TEST_P(EmulatedLshKernels, LseIsThatOfTheScores) {
  const ReformerLayer& layer = GetParam();
  EmulatedReformer device(layer);
  device.Run();
  ASSERT_EQ(device.status, cudaSuccess);
  for (int text = 0; text < device.num_texts(); ++text) {
    for (int head = 0; head < layer.heads; ++head) {
      const reference::ChunkedText t = device.Text(text);
      const std::vector<float> q = device.Values(text, head, 0), k = device.Values(text, head, 1);
      std::vector<int> sorted(static_cast<size_t>(layer.rounds * t.length));
      std::iota(sorted.begin(), sorted.end(), 0);
      if (layer.is_lsh() && IsCut(t)) {
        sorted = reference::LshSortedIndices(device.Buckets(text, head), layer.rounds, t.length);
      } else {
        sorted.resize(static_cast<size_t>(t.length));
      }
      for (int token = 0; token < t.length; ++token) {
        for (int round = 0; round < layer.rounds; ++round) {
          const int row = device.begin(text) + token;
          const float got =
              device.lse[static_cast<size_t>((row * layer.heads + head) * layer.rounds + round)];
          if (round > 0 && !IsCut(t)) {
            ASSERT_EQ(got, -INFINITY) << "a text of one chunk has one round";
            continue;
          }
          const double want =
              LseOf(t, reference::LshKeysOf(t, sorted, round, token), token, q, k, layer.is_lsh());
          ASSERT_NEAR(got, want, 2e-5 * std::max(1.0, std::fabs(want))) << text << ", " << token;
        }
      }
    }
  }
}

class LshKernels : public testing::Test {
 protected:
  void SetUp() override {
    if (!emulation::kCanEmulate) GTEST_SKIP() << "sanitizers do not know the stacks of fibers";
  }
};

TEST_F(LshKernels, RefuseFloat16) {
  EmulatedReformer device(kLayers[13]);
  ChunkAttentionParams attention = device.Attention();
  attention.storage = Storage::kFloat16;
  EXPECT_EQ(ChunkAttention(attention, nullptr), cudaErrorNotSupported);
  LshMergeParams merge;
  merge.storage = Storage::kFloat16;
  EXPECT_EQ(LshMerge(merge, nullptr), cudaErrorNotSupported);
}

TEST_F(LshKernels, ChunkAttentionRefusesWhatItsKernelDoesNotTake) {
  EmulatedReformer device(kLayers[13]);
  const auto result = [&](auto change) {
    ChunkAttentionParams p = device.Attention();
    change(p);
    return ChunkAttention(p, nullptr);
  };
  using Params = ChunkAttentionParams;
  EXPECT_EQ(result([](Params& p) { p.head_size = 48; }), cudaErrorInvalidValue);
  EXPECT_EQ(result([](Params& p) { p.num_rounds = 2; }), cudaErrorInvalidValue);
  EXPECT_EQ(result([](Params& p) { p.k_stride += 4; }), cudaErrorInvalidValue);
  EXPECT_EQ(result([](Params& p) { p.chunks_after = -1; }), cudaErrorInvalidValue);
  EXPECT_EQ(result([](Params& p) { p.chunk_length = 0; }), cudaErrorInvalidValue);
  EXPECT_EQ(result([](Params& p) { p.num_heads = 65536; }), cudaErrorInvalidValue);
  EXPECT_EQ(result([](Params& p) { p.v = static_cast<const uint16_t*>(p.v) + 1; }),
            cudaErrorInvalidValue);
  EXPECT_EQ(result([](Params& p) { p.lse = nullptr; }), cudaSuccess) << "of one round";
}

TEST_F(LshKernels, PackRotationsRefusesOddFactorsAndHeadSizes) {
  PackRotationsParams p;
  p.num_heads = p.num_rounds = 1;
  p.head_size = 64;
  p.factors = ToFactors({4, 6});
  EXPECT_EQ(PackedRotationBytes(p), 64 / 32 * 4 * 3 * 32 * 16 * 2);
  p.units = HashUnits::kPlain;
  EXPECT_EQ(PackedRotationBytes(p), 64 * 32 * 2 * 4);
  p.head_size = 96;
  EXPECT_EQ(PackedRotationBytes(p), 0);
  EXPECT_EQ(PackRotations(p, nullptr), cudaErrorInvalidValue);
  p.head_size = 64;
  for (const std::vector<int>& factors :
       {std::vector<int>{}, {3}, {0}, {4, -2}, {32768, 32768}, {1024, 1024, 1024}}) {
    p.factors = ToFactors(factors);
    EXPECT_EQ(PackRotations(p, nullptr), cudaErrorInvalidValue);
  }
}

TEST_F(LshKernels, HashRefusesMoreKeysThanFit32Bits) {
  LshHashParams p;
  p.num_rows = p.num_texts = 1;
  p.head_size = p.chunk_length = 64;
  p.factors = ToFactors({8192, 8192});
  p.num_heads = 8;
  p.num_rounds = 9;
  EXPECT_EQ(LshHash(p, nullptr), cudaErrorInvalidValue);
}

TEST_F(LshKernels, SortRefusesScratchThatIsTooSmall) {
  GuardedArray<uint32_t> keys(std::vector<uint32_t>{3, 1, 2}), sorted(3);
  GuardedArray<int32_t> rows(std::vector<int32_t>{0, 1, 2}), order(3);
  GuardedArray<uint8_t> scratch(64);
  LshSortParams p{keys.data(), rows.data(), sorted.data(), order.data(), 3, 2, scratch.data(), 1};
  EXPECT_EQ(LshSort(p, nullptr), cudaErrorInvalidValue);
  ASSERT_EQ(LshSortScratch(3, 2, &p.scratch_bytes), cudaSuccess);
  ASSERT_EQ(LshSort(p, nullptr), cudaSuccess);
  EXPECT_EQ(std::vector<int32_t>(order.data(), order.data() + 3), (std::vector<int32_t>{1, 2, 0}));
}

}  // namespace
}  // namespace longspan::cuda
