// The row-wise operations of the portable backend: layers that are placed on it against the same
// layers on the kernels of the CPU.
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/attention/upload_layout.h"
#include "core/backend/portable_backend.h"
#include "core/layers/feed_forward.h"
#include "core/layers/layer_norm.h"
#include "core/layers/linear.h"
#include "core/layers/rope.h"
#include "tests/core/backend/packed_texts.h"

namespace longspan {
namespace {

constexpr Activation kActivations[] = {Activation::kNone, Activation::kGelu, Activation::kGeluTanh,
                                       Activation::kRelu, Activation::kSilu, Activation::kTanh};
constexpr int64_t kWidth = 24, kWide = 40;

const PortableBackend kBackend{at::Device(at::kCPU)};
const Placement kCpu{DataType::kFloat32};
const Placement kPlaced{DataType::kFloat32, &kBackend};

testing::AssertionResult Near(const at::Tensor& got, const at::Tensor& want,
                              double tolerance = 1e-5) {
  if (got.sizes() != want.sizes())
    return testing::AssertionFailure() << got.sizes() << " for " << want.sizes();
  if (at::allclose(got.to(at::kFloat), want.to(at::kFloat), tolerance, tolerance))
    return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << (got.to(at::kFloat) - want.to(at::kFloat)).abs().max().item<float>();
}

TEST(PlacedLinear, EqualsTheCpu) {
  for (const Activation activation : kActivations) {
    for (const bool has_bias : {false, true}) {
      const at::Tensor weight = at::randn({kWide, kWidth}) / 4;
      const at::Tensor bias = has_bias ? at::randn({kWide}) : at::Tensor();
      const Linear cpu(weight, bias, kCpu, activation), placed(weight, bias, kPlaced, activation);
      for (const int64_t rows : {0, 1, 7, 600}) {
        const at::Tensor x = at::randn({rows, kWidth});
        EXPECT_TRUE(Near(placed(x), cpu(x))) << rows;
      }
    }
  }
}

TEST(PlacedLinear, ProductAlone_LeavesBiasAndActivationOut) {
  const at::Tensor weight = at::randn({kWide, kWidth}) / 4, bias = at::randn({kWide});
  const Linear placed(weight, bias, kPlaced, Activation::kRelu);
  const at::Tensor x = at::randn({9, kWidth});
  EXPECT_TRUE(Near(placed.ProductAlone(x), Linear(weight, {}, kCpu)(x)));
  EXPECT_TRUE(at::equal(placed.bias(), bias));
}

TEST(Placement, StorageTypes) {
  EXPECT_EQ(Placement(DataType::kFloat32, &kBackend).row_type(), at::kFloat);
  EXPECT_EQ(Placement(DataType::kBFloat16, &kBackend).row_type(), at::kBFloat16);
  EXPECT_EQ(Placement(DataType::kFloat16, &kBackend).row_type(), at::kHalf);
  EXPECT_EQ(Placement(DataType::kInt8, &kBackend).row_type(), at::kBFloat16);
  EXPECT_FALSE(Placement(DataType::kInt8, &kBackend).has_int8_scores());
  EXPECT_FALSE(CheckDataTypeSupported(DataType::kFloat16).ok()) << "no processor is served in it";
}

// Weights that a caller changes or frees later are the backend's own.
TEST(Placement, StoredWeights_AreCopies) {
  at::Tensor weight = at::full({2, 2}, 1.0), bias = at::full({2}, 1.0);
  const Linear placed(weight, bias, kPlaced);
  weight.fill_(5);
  bias.fill_(5);
  EXPECT_TRUE(at::equal(placed(at::full({1, 2}, 1.0)), at::full({1, 2}, 3.0)));
}

TEST(PlacedLayerNorm, EqualsTheCpu) {
  const at::Tensor weight = at::randn({kWidth});
  for (const bool has_bias : {false, true}) {
    const at::Tensor norm_bias = has_bias ? at::randn({kWidth}) : at::Tensor();
    const LayerNorm cpu(weight, norm_bias, 1e-3), placed(weight, norm_bias, 1e-3, kPlaced);
    for (const int64_t rows : {1, 5, 70}) {
      const at::Tensor x = at::randn({rows, kWidth}), residual = at::randn({rows, kWidth});
      const at::Tensor bias = at::randn({kWidth});
      EXPECT_TRUE(Near(placed(x), cpu(x)));
      EXPECT_TRUE(Near(placed.AddNorm(x, residual), cpu.AddNorm(x, residual)));
      EXPECT_TRUE(Near(placed.AddBiasNorm(x, {}, residual), cpu.AddNorm(x, residual)));
      EXPECT_TRUE(Near(placed.AddBiasNorm(x, bias, residual), cpu.AddNorm(x + bias, residual)));
    }
  }
}

// Sums are float32 in every storage type: the result is one rounding away from that of float32.
TEST(PlacedLayerNorm, StorageTypes_AddInFloat32) {
  const at::Tensor weight = at::randn({kWidth}), norm_bias = at::randn({kWidth});
  const LayerNorm norm(weight, norm_bias, 1e-5, kPlaced);
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf}) {
    const at::Tensor x = at::randn({50, kWidth}).mul_(100).to(type);
    const at::Tensor residual = at::randn({50, kWidth}).to(type),
                     bias = at::randn({kWidth}).to(type);
    const at::Tensor got = norm.AddBiasNorm(x, bias, residual);
    EXPECT_EQ(got.scalar_type(), type);
    const at::Tensor want =
        norm.AddBiasNorm(x.to(at::kFloat), bias.to(at::kFloat), residual.to(at::kFloat));
    EXPECT_TRUE(at::equal(got, want.to(type)));
    EXPECT_TRUE(at::equal(norm(x), norm(x.to(at::kFloat)).to(type)));
  }
}

TEST(PlacedFeedForward, Dense_EqualsTheCpu) {
  const at::Tensor up = at::randn({kWide, kWidth}) / 4, up_bias = at::randn({kWide});
  const at::Tensor down = at::randn({kWidth, kWide}) / 4, down_bias = at::randn({kWidth});
  const at::Tensor norm_weight = at::randn({kWidth});
  const auto make = [&](const Placement& placement) {
    return FeedForward(Linear(up, up_bias, placement, Activation::kGelu),
                       Linear(down, down_bias, placement));
  };
  const at::Tensor x = at::randn({70, kWidth});
  EXPECT_TRUE(Near(make(kPlaced)(x), make(kCpu)(x)));
  const LayerNorm norm(norm_weight, {}, 1e-5), placed_norm(norm_weight, {}, 1e-5, kPlaced);
  EXPECT_TRUE(Near(make(kPlaced).PostNorm(x, placed_norm), norm.AddNorm(make(kCpu)(x), x)));
}

TEST(PlacedFeedForward, Gated_EqualsTheCpu) {
  for (const Activation activation : kActivations) {
    for (const bool has_bias : {false, true}) {
      const at::Tensor both = at::randn({2 * kWide, kWidth}) / 4;
      const at::Tensor bias = has_bias ? at::randn({2 * kWide}) : at::Tensor();
      const at::Tensor down = at::randn({kWidth, kWide}) / 4;
      const auto make = [&](const Placement& placement) {
        return FeedForward::Gated(both, bias, activation, Linear(down, {}, placement), placement);
      };
      const at::Tensor x = at::randn({70, kWidth});
      EXPECT_TRUE(Near(make(kPlaced)(x), make(kCpu)(x)));
      at::Tensor stream = x.clone(), placed_stream = x.clone();
      const at::Tensor norm_weight = at::randn({kWidth});
      make(kCpu).AddPreNorm(stream, LayerNorm(norm_weight, {}, 1e-5));
      make(kPlaced).AddPreNorm(placed_stream, LayerNorm(norm_weight, {}, 1e-5, kPlaced));
      EXPECT_TRUE(Near(placed_stream, stream));
    }
  }
}

// Texts of more than 300 tokens have frequencies of their own.
RopeScaling LongTextsTurnOtherwise(int64_t head_size) {
  return {.type = RopeScaling::Type::kLongrope,
          .original_max_positions = 300,
          .attention_factor = 1.1,
          .short_factor = std::vector<double>(head_size / 2, 1.5),
          .long_factor = std::vector<double>(head_size / 2, 4.0)};
}

TEST(PlacedRotaryEmbedding, EqualsTheCpu) {
  const PackedTexts texts({{1}, {199}, {700}, {7}});
  const DeviceLayout layout = UploadLayout(kBackend, texts.Layout());
  for (const int64_t head_size : {2, 6, 64}) {
    const at::Tensor qkv = at::randn({texts.num_rows(), 3, 3, head_size});
    at::Tensor cpu = qkv.clone(), placed = qkv.clone(), without_layout = qkv.clone();
    RotaryEmbedding(head_size, LongTextsTurnOtherwise(head_size)).Apply(cpu, texts.cu_seqlens());
    const RotaryEmbedding rope(head_size, LongTextsTurnOtherwise(head_size), kPlaced);
    rope.Apply(placed, texts.cu_seqlens(), &layout);
    rope.Apply(without_layout, texts.cu_seqlens());
    EXPECT_TRUE(Near(placed, cpu, 2e-6)) << head_size;
    EXPECT_TRUE(at::equal(without_layout, placed)) << "places are counted from the borders";
    EXPECT_TRUE(at::equal(placed.select(1, 2), qkv.select(1, 2))) << "values must not turn";
  }
}

TEST(Backend, Embed_SumsScalesAndNorms) {
  const at::Tensor words = at::randn({50, kWidth}), positions = at::randn({30, kWidth});
  const at::Tensor types = at::randn({3, kWidth});
  const NormWeights norm{at::randn({kWidth}), at::randn({kWidth}), 1e-6};
  const at::Tensor word_rows = at::randint(0, 50, {20}, at::kInt);
  const at::Tensor position_rows = at::randint(0, 30, {20}, at::kInt);
  const at::Tensor type_rows = at::randint(0, 3, {20}, at::kInt);
  const LayerNorm cpu(norm.weight, norm.bias, norm.eps);
  const at::Tensor word = words.index_select(0, word_rows) * 3;
  const at::Tensor position = positions.index_select(0, position_rows);
  const EmbeddingTables all{words, positions, types, 3};
  EXPECT_TRUE(Near(kBackend.Embed(all, {word_rows, position_rows, type_rows}, norm),
                   cpu(word + position + types.index_select(0, type_rows))));
  EXPECT_TRUE(Near(kBackend.Embed(all, {word_rows, position_rows, {}}, norm),
                   cpu(word + position + types.select(0, 0))));
  EXPECT_TRUE(Near(kBackend.Embed({words, {}, {}, 3}, {word_rows, {}, {}}, norm), cpu(word)));
  EXPECT_TRUE(Near(kBackend.Embed({words, positions, {}, 1}, {word_rows, position_rows, {}}, norm),
                   cpu(word / 3 + position)));
  const at::Tensor half =
      kBackend.Embed({words.to(at::kBFloat16), {}, {}, 3}, {word_rows, {}, {}}, norm);
  EXPECT_EQ(half.scalar_type(), at::kBFloat16);
}

TEST(Backend, GatherAndScatter_AreInverse) {
  const at::Tensor x = at::randn({9, 2, 3}), rows = at::tensor({7, 0, 3}, at::kLong);
  const at::Tensor some = kBackend.Gather(x, rows);
  EXPECT_TRUE(at::equal(some[0], x[7]));
  at::Tensor out = at::full({9, 2, 3}, 7.0);
  kBackend.Scatter(some, rows, out);
  EXPECT_TRUE(at::equal(out[3], x[3]));
  EXPECT_TRUE(at::equal(out[1], at::full({2, 3}, 7.0))) << "other rows stay";
}

TEST(Backend, ReduceSegments_SumsWeighsAndFindsMaxima) {
  constexpr double kNone = -std::numeric_limits<double>::infinity();
  const at::Tensor rows = at::tensor({1.0F, -2.0F, 3.0F, NAN, 5.0F, 6.0F}).unsqueeze(1);
  const Segments segments{.lengths = at::tensor({2, 1, 1, 2}, at::kLong),
                          .weights = at::tensor({1.0F, 2.0F, 1.0F, 1.0F, 1.0F, 2.0F}),
                          .read = at::tensor({1, 1, 0, 1, 0, 1}).ne(0),
                          .sum = true,
                          .max = true};
  const SegmentValues got = kBackend.ReduceSegments(rows, segments);
  const auto expect = [](const at::Tensor& values, std::vector<double> want) {
    for (size_t i = 0; i < want.size(); ++i) {
      const double value = values[static_cast<int64_t>(i)][0].item<double>();
      if (std::isnan(want[i])) {
        EXPECT_TRUE(std::isnan(value)) << i;
      } else {
        EXPECT_EQ(value, want[i]) << i;
      }
    }
  };
  expect(got.sum, {-1, 0, NAN, 6});
  expect(got.weighted_sum, {-3, 0, NAN, 12});
  expect(got.max, {1, kNone, NAN, 6});
  EXPECT_EQ(got.sum.scalar_type(), at::kDouble);
  const SegmentValues sums =
      kBackend.ReduceSegments(rows, {.lengths = segments.lengths, .sum = true});
  EXPECT_FALSE(sums.max.defined() || sums.weighted_sum.defined());
}

TEST(PortableBackend, Upload_CopiesWhatTheHostMayChange) {
  at::Tensor host = at::full({3}, 1.0);
  const at::Tensor uploaded = kBackend.Upload(host);
  host.fill_(2);
  EXPECT_TRUE(at::equal(uploaded, at::full({3}, 1.0)));
}

}  // namespace
}  // namespace longspan
