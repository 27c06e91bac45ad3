// Reformer's operations by the kernels, on the emulated device: what a card's backend computes
// against what the portable one does, and which inputs the kernels leave to it.
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/attention/lsh_attention.h"
#include "core/attention/upload_chunk_runs.h"
#include "core/backend/portable_backend.h"
#include "core/models/model.h"
#include "tests/golden/reformer_checkpoint.h"
// What follows is CUDA's, emulated.
#include "tests/core/cuda/kernels/cuda_emulation.h"
#include "tests/core/cuda/kernels/emulated_ampere.h"
//
#include "core/cuda/kernels/chunk_attention.cu"
#include "core/cuda/kernels/lsh_hash.cu"
#include "core/cuda/kernels/lsh_merge.cu"
#include "core/cuda/kernels/lsh_rotations.cu"
#include "core/cuda/kernels/lsh_sort.cu"
#include "core/cuda/reformer_operations.cc"

namespace longspan {
namespace {

// The backend of a card as it uses the operations; its device is emulated.
class EmulatedCard : public PortableBackend {
 public:
  EmulatedCard() : PortableBackend(at::Device(at::kCPU)) {}
  void PrepareChunks(ChunkRun& run) const override { cuda::PrepareChunkRun(*this, run, nullptr); }
  at::Tensor SortByBucket(const at::Tensor& exact, const ChunkRun& run) const override {
    at::Tensor order;
    if (Count(cuda::TrySortByBucket(exact, run, nullptr, order))) return order;
    return PortableBackend::SortByBucket(exact, run);
  }
  void AttendChunks(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    const at::Tensor& order, const ChunkRun& run, at::Tensor& out,
                    at::Tensor& lse) const override {
    if (Count(cuda::TryAttendChunks(q, k, v, order, run, nullptr, out, lse))) return;
    PortableBackend::AttendChunks(q, k, v, order, run, out, lse);
  }
  void MergeRounds(const at::Tensor& parts, const at::Tensor& lse, at::Tensor& out) const override {
    if (Count(cuda::TryMergeRounds(parts, lse, nullptr, out))) return;
    PortableBackend::MergeRounds(parts, lse, out);
  }

  mutable int taken = 0, left = 0;  // calls that the kernels took, and those that they left

 private:
  bool Count(bool is_taken) const {
    ++(is_taken ? taken : left);
    return is_taken;
  }
};

class ReformerOperations : public testing::Test {
 protected:
  void SetUp() override {
    if (!cuda::emulation::kCanEmulate)
      GTEST_SKIP() << "sanitizers do not know the stacks of fibers";
    cuda::emulation::Seed(1);
  }
};

struct Case {
  ChunkShape shape;
  std::vector<int32_t> lengths;
  std::vector<std::pair<int32_t, std::vector<int32_t>>> hashings;  // rounds and factors
  std::vector<int> hashing_of = {};                                // of each text; -1 = none
  int64_t heads = 2;
  int64_t head_size = 32;
  bool masked = false;
  at::ScalarType type = at::kBFloat16;
};

// Random rows of a case.
struct Rows {
  explicit Rows(const Case& c) {
    for (const auto& [rounds, factors] : c.hashings) {
      int64_t columns = 0;
      for (const int32_t factor : factors) columns += rounds * factor / 2;
      rotations.push_back({rounds, factors,
                           DrawLshRotations(rotations.size(), c.heads, c.head_size, rounds, factors)
                               .values.narrow(2, 0, columns)
                               .contiguous()});
    }
    int64_t row = 0;
    for (size_t text = 0; text < c.lengths.size(); ++text) {
      texts.push_back({row, c.lengths[text]});
      row += c.lengths[text];
      if (c.hashings.empty()) continue;
      of_texts.push_back(c.hashing_of[text] < 0 ? nullptr : &rotations[c.hashing_of[text]]);
    }
    exact = at::randn({row, c.heads, c.head_size});
    qkv = at::randn({row, 3, c.heads, c.head_size}).to(c.type);
    if (c.masked) read = at::randn({row}).gt(-1);
  }
  at::Tensor Run(const Case& c, const Backend& backend) const {
    const std::vector<ChunkRun> runs = UploadChunkRuns(backend, c.shape, texts, read, of_texts);
    if (c.hashings.empty())
      return backend.LocalChunks(qkv.select(1, 0), qkv.select(1, 1), qkv.select(1, 2), runs);
    return backend.LshChunks(exact, exact.to(c.type), qkv.select(1, 2), runs);
  }

  std::vector<DeviceRotations> rotations;
  std::vector<ChunkedText> texts;
  std::vector<const DeviceRotations*> of_texts;
  at::Tensor exact, qkv, read;
};

double RelativeError(const at::Tensor& got, const at::Tensor& want) {
  const at::Tensor difference = got.to(at::kFloat) - want.to(at::kFloat);
  return (difference.norm() / want.to(at::kFloat).norm()).item<double>();
}

// Values in bfloat16 have 8 bits, and the kernels round probabilities to them.
void ExpectAsPortable(const Case& c, int most_left = 0) {
  at::manual_seed(3);
  const Rows rows(c);
  const EmulatedCard card;
  const PortableBackend portable{at::Device(at::kCPU)};
  const at::Tensor got = rows.Run(c, card), want = rows.Run(c, portable);
  EXPECT_EQ(got.scalar_type(), c.type);
  EXPECT_LT(RelativeError(got, want), 0.006);
  EXPECT_EQ(card.left, most_left);
}

TEST_F(ReformerOperations, LocalLayers_AreThoseOfThePortableBackend) {
  ExpectAsPortable({{64, 1, 0, true}, {192, 64, 30}, {}});
  ExpectAsPortable({{32, 1, 1, false}, {96, 5, 64, 1}, {}, {}, 3, 64, /*masked=*/true});
  ExpectAsPortable({{48, 0, 2, true}, {96, 144, 7}, {}, {}, 1, 128, /*masked=*/true});
}

TEST_F(ReformerOperations, LshLayers_AreThoseOfThePortableBackend) {
  ExpectAsPortable({{64, 1, 0, true}, {192, 64, 30}, {{1, {16, 32}}}, {0, -1, -1}});
  ExpectAsPortable({{32, 1, 1, false}, {96, 5, 64}, {{3, {8}}}, {0, -1, 0}, 2, 64, true});
  ExpectAsPortable({{16, 2, 1, true}, {80, 5, 1}, {{4, {4}}}, {0, -1, -1}, 1, 128, true});
  ExpectAsPortable({{64, 1, 0, false}, {64, 3}, {{2, {4}}}, {-1, -1}});
}

// Each run takes its own rotations, rounds and mask.
TEST_F(ReformerOperations, RunsOfDifferentHashings_InOneBatch) {
  ExpectAsPortable({{16, 1, 0, true},
                    {12, 48, 16, 80, 160, 7},
                    {{2, {4}}, {1, {4, 6}}, {5, {16}}},
                    {-1, 0, -1, 1, 2, -1},
                    2,
                    32,
                    /*masked=*/true});
}

TEST_F(ReformerOperations, TheOrder_IsThatOfThePortableBackend) {
  at::manual_seed(4);
  const Case c{{16, 1, 0, false}, {48, 5, 80}, {{3, {4, 6}}}, {0, -1, 0}, 2, 64, true};
  const Rows rows(c);
  const EmulatedCard card;
  const std::vector<ChunkRun> runs =
      UploadChunkRuns(card, c.shape, rows.texts, rows.read, rows.of_texts);
  ASSERT_EQ(runs.size(), 1u);
  const at::Tensor got = card.SortByBucket(rows.exact, runs[0]);
  EXPECT_EQ(card.taken, 1);
  EXPECT_TRUE(at::equal(got, card.PortableBackend::SortByBucket(rows.exact, runs[0])));
}

// Other types and sizes of heads go to the portable operation, which hashes and merges too where
// the kernels leave that to it.
TEST_F(ReformerOperations, WhatTheKernelsDoNotTake_IsLeft) {
  const auto expect_left = [](const Case& c, int taken, int left) {
    const Rows rows(c);
    const EmulatedCard card;
    const PortableBackend portable{at::Device(at::kCPU)};
    EXPECT_LT(RelativeError(rows.Run(c, card), rows.Run(c, portable)), 1e-6);
    EXPECT_EQ(card.taken, taken);
    EXPECT_EQ(card.left, left);
  };
  // Of float32 and float16 the hash and the sort are taken, attention and merge are left.
  expect_left({{16, 1, 0, true}, {48}, {{2, {4}}}, {0}, 2, 32, true, at::kFloat}, 1, 2);
  expect_left({{16, 1, 0, true}, {48}, {{2, {4}}}, {0}, 2, 32, true, at::kHalf}, 1, 2);
  expect_left({{16, 1, 0, true}, {48}, {}, {}, 2, 32, true, at::kFloat}, 0, 1);
  // Heads of 16: nothing is.
  expect_left({{16, 1, 0, true}, {48}, {{2, {4}}}, {0}, 2, 16, true}, 0, 3);
  expect_left({{16, 1, 0, true}, {48}, {}, {}, 2, 16, true}, 0, 1);
}

// More factors than the kernels have room for.
TEST_F(ReformerOperations, SevenFactors_AreHashedByThePortableBackend) {
  ExpectAsPortable({{16, 1, 0, false}, {48}, {{1, {2, 2, 2, 2, 2, 2, 2}}}, {0}}, /*most_left=*/1);
}

// A whole model in bfloat16, several texts a batch, on the card and on the portable backend.
TEST_F(ReformerOperations, AModel_IsThatOfThePortableBackend) {
  nlohmann::json config = ReformerConfigJson();
  config.update({{"attention_head_size", 32},
                 {"num_buckets", nullptr},
                 {"axial_pos_shape", {16, 16}},
                 {"max_position_embeddings", 256},
                 {"lsh_attn_chunk_length", 16},
                 {"local_attn_chunk_length", 16}});
  const EmulatedCard card;
  const PortableBackend portable{at::Device(at::kCPU)};
  const auto on_card = FormulaReformer(config, {DataType::kBFloat16, &card});
  const auto on_portable = FormulaReformer(config, {DataType::kBFloat16, &portable});
  ASSERT_TRUE(on_card && on_portable);
  TokenBatch batch;
  for (const int length : {100, 16, 3, 60, 40, 90}) {
    const std::vector<int32_t> ids = FormulaIds(length, length, 1, 40);
    batch.Add({.token_ids = ids});
  }
  const auto got = on_card->Forward(batch, {}), want = on_portable->Forward(batch, {});
  ASSERT_TRUE(got.ok() && want.ok());
  for (int32_t text = 0; text < batch.num_texts(); ++text) {
    const at::Tensor a = got->Rows(text, 0, batch.length(text)).mean(0);
    const at::Tensor b = want->Rows(text, 0, batch.length(text)).mean(0);
    EXPECT_GT((a.dot(b) / (a.norm() * b.norm())).item<double>(), 0.999) << "text " << text;
  }
  EXPECT_GT(card.taken, 0);
  EXPECT_EQ(card.left, 0);
}

}  // namespace
}  // namespace longspan
