#include "core/cost_model.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <vector>

namespace longspan {
namespace {

using ::testing::DoubleNear;

ModelInfo Longformer() {
  ModelInfo info;
  info.architecture = "longformer";
  info.hidden_size = 768;
  info.num_heads = 12;
  info.head_size = 64;
  info.intermediate_size = 3072;
  info.layers.assign(12, {.kind = AttentionKind::kSlidingWindow, .window = 256});
  return info;
}

ModelInfo Reformer() {
  ModelInfo info;
  info.architecture = "reformer";
  info.hidden_size = 256;
  info.num_heads = 2;
  info.head_size = 64;
  info.intermediate_size = 512;
  info.num_hashes = 1;
  info.length_multiple = 64;
  for (int i = 0; i < 3; ++i) {
    info.layers.push_back(
        {.kind = AttentionKind::kLocalChunk, .chunk_length = 64, .chunks_before = 1});
    info.layers.push_back({.kind = AttentionKind::kLsh, .chunk_length = 64, .chunks_before = 1});
  }
  return info;
}

ModelInfo WithKind(AttentionKind kind) {
  if (kind == AttentionKind::kLsh || kind == AttentionKind::kLocalChunk) return Reformer();
  ModelInfo info = Longformer();
  for (LayerAttention& layer : info.layers)
    layer = {.kind = kind, .window = 256, .chunk_length = 64, .random_blocks = 3};
  if (kind == AttentionKind::kDense) info.architecture = "bert";
  if (kind == AttentionKind::kBlockSparse) info.dense_up_to = 704;
  return info;
}

constexpr AttentionKind kKinds[] = {AttentionKind::kDense, AttentionKind::kSlidingWindow,
                                    AttentionKind::kBlockSparse, AttentionKind::kLsh,
                                    AttentionKind::kLocalChunk};

// The published figures for each token, linear layers + attention: 169.9 + 18.9 MFLOP of
// Longformer-base, 4.6 + 0.39 MFLOP of the Reformer.
TEST(CostModel, FlopPerToken_AreThoseOfTheGeometry) {
  const CostModel longformer(Longformer());
  EXPECT_THAT(longformer.LinearFlop(1 << 20) / (1 << 20), DoubleNear(169.9e6, 0.1e6));
  EXPECT_THAT(longformer.AttentionFlop(1 << 20) / (1 << 20), DoubleNear(18.9e6, 0.1e6));
  const CostModel reformer(Reformer());
  EXPECT_THAT(reformer.LinearFlop(1 << 20) / (1 << 20), DoubleNear(4.6e6, 0.1e6));
  EXPECT_THAT(reformer.AttentionFlop(1 << 20) / (1 << 20), DoubleNear(0.39e6, 0.01e6));
}

TEST(CostModel, WindowPairs_AreCountedExactly) {
  ModelInfo info = Longformer();
  info.layers.assign(1, {.kind = AttentionKind::kSlidingWindow, .window = 3});
  const CostModel model(info);
  for (int64_t n : {1, 2, 3, 4, 5, 20}) {
    int64_t pairs = 0;
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) pairs += std::abs(i - j) <= 3;
    EXPECT_DOUBLE_EQ(model.AttentionFlop(n), 4.0 * 768 * static_cast<double>(pairs)) << n;
  }
}

TEST(CostModel, MoreTokens_NeverCostLess) {
  for (AttentionKind kind : kKinds) {
    const CostModel model(WithKind(kind));
    double seconds = 0;
    int64_t bytes = 0;
    for (int64_t n = 1; n < 20000; n += 1 + n / 7) {
      const std::vector<TextShape> lengths = {n};
      EXPECT_GE(model.TextSeconds(n), seconds) << AttentionKindName(kind) << " " << n;
      EXPECT_GE(model.BatchBytes(lengths), bytes) << AttentionKindName(kind) << " " << n;
      seconds = model.TextSeconds(n);
      bytes = model.BatchBytes(lengths);
    }
  }
}

TEST(CostModel, SparseAttention_IsLinearInLength_DenseIsNot) {
  for (AttentionKind kind : kKinds) {
    const CostModel model(WithKind(kind));
    const double ratio = model.AttentionFlop(1 << 19) / model.AttentionFlop(1 << 13);
    EXPECT_THAT(ratio, kind == AttentionKind::kDense ? DoubleNear(4096, 1) : DoubleNear(64, 2.5))
        << AttentionKindName(kind);
  }
}

TEST(CostModel, DenseUpTo_CountsEveryPair) {
  ModelInfo info = Longformer();
  info.dense_up_to = 2000;
  EXPECT_DOUBLE_EQ(CostModel(info).AttentionFlop(2000), 12 * 4.0 * 768 * 2000 * 2000);
  EXPECT_LT(CostModel(info).AttentionFlop(2001), CostModel(info).AttentionFlop(2000));
}

TEST(CostModel, GlobalRow_CostsHeadsTimesWidth) {
  ModelInfo with = Longformer();
  with.default_global_attention = GlobalAttention::kCls;
  const double extra =
      CostModel(with).AttentionFlop(10000) - CostModel(Longformer()).AttentionFlop(10000);
  EXPECT_DOUBLE_EQ(extra, 12 * (4.0 * 768 * 10000 + 4.0 * 12 * 768 * 10000));
}

// Each global token is a key of every token and a query of every token: by the reassociated form
// while that is cheaper, and by the direct one with many.
TEST(CostModel, GlobalTokens_ArePriced) {
  const CostModel model(Longformer());
  const double n = 10000, e = 768;
  const auto extra = [&](int64_t globals) {
    return model.AttentionFlop({10000, globals, 1}) - model.AttentionFlop({10000, 0, 1});
  };
  EXPECT_DOUBLE_EQ(extra(1), 12 * (4 * e * n + 4 * 12 * e * n));
  EXPECT_DOUBLE_EQ(extra(50), 12 * (4 * e * n * 50 + 4 * 12 * e * n * 50));
  EXPECT_DOUBLE_EQ(extra(1000), 12 * (4 * e * n * 1000 + 4 * e * e * n + 4 * e * n * 1000));
  EXPECT_GT(model.TextSeconds({10000, 4096, 1}), 2 * model.TextSeconds({10000, 1, 1}));
  double before = 0;
  for (int64_t globals = 0; globals <= 10000; globals += 100) {
    EXPECT_GE(model.AttentionFlop({10000, globals, 1}), before) << globals;
    before = model.AttentionFlop({10000, globals, 1});
  }
  EXPECT_EQ(model.AttentionFlop({100, 100, 1}), model.AttentionFlop({100, 5000, 1}));
}

TEST(CostModel, HashRoundsOfARequest_ArePriced) {
  const CostModel model(Reformer());
  TextShape many(8192);
  many.hashes = 64;
  EXPECT_GT(model.AttentionFlop(many), 30 * model.AttentionFlop(8192));
  const std::vector<TextShape> few_rounds = {8192}, many_rounds = {many};
  EXPECT_GT(model.BatchBytes(many_rounds), 4 * model.BatchBytes(few_rounds));
}

TEST(CostModel, FurtherVectors_ArePriced_AndTheFirstIsPartOfTheText) {
  CostModel model(Longformer());
  EXPECT_EQ(model.PoolingSeconds({100, 0, 1}), 0);
  EXPECT_EQ(model.PoolingSeconds({100, 0, 0}), 0);
  model.CalibratePooling(1e-5);
  EXPECT_DOUBLE_EQ(model.TextSeconds({100, 0, 1001}),
                   model.TextSeconds({100, 0, 1}) + 1000 * 1e-5);
  model.CalibratePooling(-1);  // a measurement that failed changes nothing
  EXPECT_DOUBLE_EQ(model.PoolingSeconds({100, 0, 2}), 1e-5);
}

TEST(CostModel, PaddedModels_PayForTheirPadding) {
  const CostModel model(Reformer());
  EXPECT_DOUBLE_EQ(model.TextSeconds(65), model.TextSeconds(128));
  EXPECT_LT(model.TextSeconds(64), model.TextSeconds(65));
}

TEST(CostModel, Batch_IsItsTextsPlusOneFixedCost) {
  const CostModel model(Longformer());
  const std::vector<TextShape> lengths = {10, 500, 9000}, none = {};
  const double texts = model.TextSeconds(10) + model.TextSeconds(500) + model.TextSeconds(9000);
  EXPECT_DOUBLE_EQ(model.BatchSeconds(lengths), model.BatchSeconds(none) + texts);
}

CostModel::Sample Measured(const CostModel& model, std::vector<TextShape> lengths, double fixed,
                           double linear, double attention) {
  double seconds = fixed;
  for (const TextShape& n : lengths)
    seconds += linear * model.LinearFlop(n) + attention * model.AttentionFlop(n);
  return {std::move(lengths), seconds};
}

TEST(CostModel, Calibrate_RecoversThePrices_ThatMadeTheSamples) {
  for (double slower : {0.01, 1.0, 30.0}) {
    CostModel model(WithKind(AttentionKind::kDense));
    std::vector<CostModel::Sample> samples;
    for (const std::vector<TextShape>& lengths :
         std::vector<std::vector<TextShape>>{{4}, {16}, {128}, {512, 512}, {2048}, {8192}, {30000}})
      samples.push_back(Measured(model, lengths, 2e-3 * slower, slower / 190e9, slower / 110e9));
    model.Calibrate(samples);
    for (const CostModel::Sample& sample : samples)
      EXPECT_THAT(model.BatchSeconds(sample.texts) / sample.seconds, DoubleNear(1, 0.01))
          << slower << " " << sample.texts[0].tokens;
    const std::vector<TextShape> unseen = {100, 1000, 100000};
    EXPECT_THAT(model.BatchSeconds(unseen) /
                    Measured(model, unseen, 2e-3 * slower, slower / 190e9, slower / 110e9).seconds,
                DoubleNear(1, 0.02));
  }
}

// With the noise of these samples, plain least squares would make the fixed cost negative.
TEST(CostModel, Calibrate_NeverGivesANegativePrice) {
  CostModel model(Longformer());
  const std::vector<CostModel::Sample> samples = {{{16}, 0.0005}, {{512}, 0.4}, {{2048}, 2.2}};
  model.Calibrate(samples);
  EXPECT_GE(model.BatchSeconds(std::vector<TextShape>{}), 0);
  EXPECT_GT(model.TextSeconds(1), 0);
  EXPECT_THAT(model.BatchSeconds(std::vector<TextShape>{2048}), DoubleNear(2.2, 0.6));
}

TEST(CostModel, Calibrate_FromOneSample_ScalesAllPrices) {
  CostModel model(Longformer());
  const double before = model.TextSeconds(4096);
  model.Calibrate(
      std::vector<CostModel::Sample>{{{512}, 3 * model.BatchSeconds(std::vector<TextShape>{512})}});
  EXPECT_THAT(model.TextSeconds(4096) / before, DoubleNear(3, 0.05));
}

TEST(CostModel, Calibrate_WithoutUsableSamples_ChangesNothing) {
  CostModel model(Longformer());
  const double before = model.TextSeconds(77);
  model.Calibrate({});
  model.Calibrate(std::vector<CostModel::Sample>{{{}, 1.0}, {{5}, 0.0}});
  EXPECT_DOUBLE_EQ(model.TextSeconds(77), before);
}

}  // namespace
}  // namespace longspan
