// The calls of our kernels by a backend for cards, on the emulated device: that each operation
// gives what PortableBackend gives in float32 of the same values, up to the rounding of the storage
// type, and that it was a kernel that did it.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>

#include <cmath>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "core/attention/upload_layout.h"
#include "tests/core/backend/packed_texts.h"
#include "tests/core/cuda/emulated_card.h"
#include "tests/core/encoder_fixture.h"
#include "tests/golden/reformer_checkpoint.h"

namespace longspan {
namespace {

using kernels::Activation;

constexpr Capability kHopper{9, 0}, kAmpere{8, 0};
constexpr Activation kActivations[] = {Activation::kNone, Activation::kGelu, Activation::kGeluTanh,
                                       Activation::kRelu, Activation::kSilu, Activation::kTanh};

const PortableBackend kPortable{at::Device(at::kCPU)};

double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double product = 0, of_a = 0, of_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    product += double{a[i]} * b[i];
    of_a += double{a[i]} * a[i];
    of_b += double{b[i]} * b[i];
  }
  return product / std::sqrt(of_a * of_b);
}

at::Tensor Float(const at::Tensor& x) { return x.defined() ? x.to(at::kFloat) : x; }

class KernelBackendTest : public testing::TestWithParam<at::ScalarType> {
 protected:
  void SetUp() override {
    if (!cuda::emulation::kCanEmulate) GTEST_SKIP() << "sanitizers do not know these stacks";
    cuda::emulation::Seed(3);
  }
  at::Tensor Random(at::IntArrayRef shape) const { return at::randn(shape).to(GetParam()); }
  // `roundings` of values of the storage type stand between the two.
  void ExpectNear(const at::Tensor& got, const at::Tensor& want, int roundings = 1) const {
    ExpectNear(got, want, want.abs() + 0.25, roundings);
  }
  // `size`: of the values that were rounded, where they are larger than what came of them.
  void ExpectNear(const at::Tensor& got, const at::Tensor& want, const at::Tensor& size,
                  int roundings) const {
    ASSERT_EQ(got.sizes(), want.sizes());
    const double ulp = GetParam() == at::kBFloat16 ? 1.0 / 256 : 1.0 / 2048;
    const at::Tensor error = (Float(got) - want).abs() / size;
    EXPECT_LE(error.max().item<float>(), roundings * ulp);
  }
  // Runs an operation that must be done by so many of our kernels.
  template <typename Operation>
  auto ByKernels(int kernels, const Operation& operation) {
    const int before = card_.launches();
    auto result = operation();
    EXPECT_EQ(card_.launches() - before, kernels);
    return result;
  }

  const EmulatedCard card_{kHopper};
};
INSTANTIATE_TEST_SUITE_P(Storage, KernelBackendTest, testing::Values(at::kBFloat16, at::kHalf),
                         [](const auto& info) {
                           return info.param == at::kHalf ? "float16" : "bfloat16";
                         });

TEST_P(KernelBackendTest, Product_AddsTheBias_AndActivates) {
  for (const Activation activation : kActivations) {
    for (const bool has_bias : {false, true}) {
      const at::Tensor x = Random({9, 24}), weight = Random({40, 24}) / 4;
      const at::Tensor bias = has_bias ? Random({40}) : at::Tensor();
      const at::Tensor got = ByKernels(activation == Activation::kNone ? 0 : 1,
                                       [&] { return card_.Product(x, weight, bias, activation); });
      const at::Tensor want = kPortable.Product(Float(x), Float(weight), Float(bias), activation);
      // The product is rounded before its bias comes, and the two may cancel. No activation is
      // steeper than 1.13 (GELU); two roundings leave room for that.
      at::Tensor size = at::linear(Float(x), Float(weight)).abs() + want.abs() + 1e-3;
      if (has_bias) size += Float(bias).abs();
      ExpectNear(got, want, size, 2);
    }
  }
}

TEST_P(KernelBackendTest, GatedUnit) {
  for (const Activation activation : kActivations) {
    const at::Tensor both = Random({7, 48});
    const at::Tensor got = ByKernels(1, [&] { return card_.GatedUnit(both, activation); });
    ExpectNear(got, kPortable.GatedUnit(Float(both), activation));
  }
}

TEST_P(KernelBackendTest, Norms_WithAndWithoutBiasAndResidual) {
  for (const int64_t width : {8, 24, 768}) {
    for (const bool has_bias : {false, true}) {
      const NormWeights norm{.weight = at::randn({width}),
                             .bias = has_bias ? at::randn({width}) : at::Tensor(),
                             .eps = 1e-3};
      const at::Tensor x = Random({5, width}) * 3, residual = Random({5, width});
      const at::Tensor bias = has_bias ? Random({width}) : at::Tensor();
      ExpectNear(ByKernels(1, [&] { return card_.Norm(x, norm); }), kPortable.Norm(Float(x), norm));
      ExpectNear(ByKernels(1, [&] { return card_.AddBiasResidualNorm(x, bias, residual, norm); }),
                 kPortable.AddBiasResidualNorm(Float(x), Float(bias), Float(residual), norm));
    }
  }
}

TEST_P(KernelBackendTest, Embed_FromWhateverTablesThereAre) {
  constexpr int64_t kRows = 11, kWidth = 40;
  const at::TensorOptions ids = at::kInt;
  for (int tables = 0; tables < 8; ++tables) {
    const bool has_positions = tables & 1, has_types = tables & 2, has_type_ids = tables & 4;
    const EmbeddingTables of{.words = Random({30, kWidth}),
                             .positions = has_positions ? Random({20, kWidth}) : at::Tensor(),
                             .types = has_types ? Random({3, kWidth}) : at::Tensor(),
                             .word_scale = has_positions ? 4.0 : 1.0};
    const EmbeddingTables exact{.words = Float(of.words),
                                .positions = Float(of.positions),
                                .types = Float(of.types),
                                .word_scale = of.word_scale};
    const EmbeddingRows rows{
        .words = at::randint(30, {kRows}, ids),
        .positions = has_positions ? at::randint(20, {kRows}, ids) : at::Tensor(),
        .types = has_types && has_type_ids ? at::randint(3, {kRows}, ids) : at::Tensor()};
    const NormWeights norm{.weight = at::randn({kWidth}), .bias = at::randn({kWidth})};
    ExpectNear(ByKernels(1, [&] { return card_.Embed(of, rows, norm); }),
               kPortable.Embed(exact, rows, norm));
  }
}

TEST_P(KernelBackendTest, Rotate_TurnsQueriesAndKeys_AndLeavesValues) {
  for (const int64_t head_size : {8, 32, 64}) {
    at::Tensor qkv = Random({6, 3, 2, head_size});
    at::Tensor want = Float(qkv);
    const at::Tensor angles = at::rand({10, head_size / 2}) * 6;
    const at::Tensor positions = at::tensor(std::vector<int64_t>{0, 1, 2, 9, 4, 5});
    kPortable.Rotate(want, angles.cos(), angles.sin(), positions);
    ByKernels(1, [&] {
      card_.Rotate(qkv, angles.cos(), angles.sin(), positions);
      return 0;
    });
    ExpectNear(qkv, want, 2);
    EXPECT_TRUE(at::equal(Float(qkv.select(1, 2)), want.select(1, 2)));
  }
}

TEST_P(KernelBackendTest, ReduceSegments) {
  const at::Tensor rows = Random({300, 24}), weights = at::rand({300});
  Segments segments{.lengths = at::tensor(std::vector<int64_t>{1, 255, 44}),
                    .weights = weights,
                    .sum = true,
                    .max = true};
  for (const bool has_holes : {false, true}) {
    if (has_holes) segments.read = at::rand({300}).gt(0.3);
    const SegmentValues got = ByKernels(1, [&] { return card_.ReduceSegments(rows, segments); });
    const SegmentValues want = kPortable.ReduceSegments(Float(rows), segments);
    EXPECT_LE((got.sum - want.sum).abs().max().item<double>(), 1e-4);
    EXPECT_LE((got.weighted_sum - want.weighted_sum).abs().max().item<double>(), 1e-4);
    EXPECT_TRUE(at::equal(got.max, want.max));
  }
}

// Windows and globals on cards with and without a kernel for both.
class CardAttentionTest : public testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override {
    if (!cuda::emulation::kCanEmulate) GTEST_SKIP() << "sanitizers do not know these stacks";
    cuda::emulation::Seed(4);
  }
  // By so many kernels of each card.
  void Expect(const PackedTexts& texts, int on_hopper, int on_ampere) {
    SCOPED_TRACE(texts.Describe());
    const at::Tensor qkv = at::randn({texts.num_rows(), 3, 2, GetParam()}).to(at::kBFloat16);
    const ReferenceAttention want = AttendSlowly(texts, Float(qkv), [&](size_t text) {
      const PackedText& of = texts.texts()[text];
      const int64_t window = of.window == kernels::kUnlimitedWindow ? -1 : of.window;
      return reference::SlidingWindowPattern(window, of.globals, of.read);
    });
    for (const auto& [capability, kernels] :
         {std::pair(kHopper, on_hopper), {kAmpere, on_ampere}}) {
      const EmulatedCard card(capability);
      const DeviceLayout layout = UploadLayout(card, texts.Layout());
      const at::Tensor out =
          card.WindowAttention(qkv.select(1, 0), qkv.select(1, 1), qkv.select(1, 2), layout,
                               1 / std::sqrt(static_cast<double>(GetParam())));
      EXPECT_EQ(out.scalar_type(), at::kBFloat16);
      EXPECT_LE(WorstOut(out, want), 0.02) << capability.major;
      EXPECT_EQ(card.launches(), kernels) << capability.major;
    }
  }
};
INSTANTIATE_TEST_SUITE_P(HeadSizes, CardAttentionTest, testing::Values(32, 64));

TEST_P(CardAttentionTest, WindowsAlone) {
  Expect(PackedTexts({{1, 3}, {40, 3}, {130, 3}}), 1, 0);
  Expect(PackedTexts({{70}, {3}}), 1, 0);
}

TEST_P(CardAttentionTest, Globals_InsideAndBeyondTheWindow) {
  Expect(PackedTexts({{40, 3, {0, 20, 39}}, {7, 3}, {150, 3, {5}}}), 1, 1);
  Expect(PackedTexts({{4, 3, {0}}, {3, 3, {1}}}), 1, 0);
}

TEST_P(CardAttentionTest, SeveralRuns_ReadTheirOwnRows) {
  Expect(PackedTexts({{9, 2, {0}}, {30, 5, {29}}, {12, 2, {6, 7}}}), 3, 3);
}

TEST_P(CardAttentionTest, Holes_GoThePortableWay) {
  std::vector<uint8_t> read(20, 1);
  read[3] = read[19] = 0;
  Expect(PackedTexts({{20, 4, {0}, read}}), 0, 0);
}

// Averages for the globals of neighbouring texts, in two layers of a pass: the second finds the
// plans that the first has made.
TEST_P(KernelBackendTest, GlobalRows_OfAllTexts_InOneCall) {
  std::vector<int> many(70);  // for which the direct form is cheaper
  std::iota(many.begin(), many.end(), 0);
  const PackedTexts texts(
      {{300, 3, {0, 7}}, {20, 3}, {40, 3, {39}}, {80, 3, many}, {2, 3, {0}}, {50, 3, {9}}});
  constexpr int64_t kWidth = 64, kHeads = 2;
  const auto weight = [&] { return Random({kWidth, kWidth}) / 8; };
  const GlobalProjections stored{weight(),         Random({kWidth}), weight(),
                                 Random({kWidth}), weight(),         Random({kWidth})};
  const GlobalProjections exact{Float(stored.query_weight), Float(stored.query_bias),
                                Float(stored.key_weight),   Float(stored.key_bias),
                                Float(stored.value_weight), Float(stored.value_bias)};
  const DeviceLayout layout = UploadLayout(card_, texts.Layout());
  const DeviceLayout portable = UploadLayout(kPortable, texts.Layout());
  for (int layer = 0; layer < 2; ++layer) {
    const at::Tensor hidden = Random({texts.num_rows(), kWidth});
    at::Tensor got = Random({texts.num_rows(), kHeads, kWidth / kHeads});
    at::Tensor want = Float(got);
    ByKernels(2, [&] {
      card_.GlobalRows(hidden, stored, kHeads, layout, got);
      return 0;
    });
    kPortable.GlobalRows(Float(hidden), exact, kHeads, portable, want);
    // The direct form rounds keys and values, and their products grow what was rounded. The values
    // cancel in their mean, which may be far smaller than they are.
    const int64_t direct = texts.cu_seqlens()[3], behind = texts.cu_seqlens()[4];
    const at::Tensor averages = want.slice(0, direct, behind);
    ExpectNear(got.slice(0, direct, behind), averages, averages.abs().max(), 16);
    ExpectNear(got.slice(0, 0, direct), want.slice(0, 0, direct));
    ExpectNear(got.slice(0, behind), want.slice(0, behind));
  }
}

// Some of the heads are no packed tensor.
TEST(CardAttention, SomeHeadsAlone_AreRightToo) {
  const EmulatedCard card(kHopper);
  const PackedTexts texts({{50, 4, {0}}});
  const at::Tensor qkv = at::randn({50, 3, 2, 32}).to(at::kBFloat16);
  const DeviceLayout layout = UploadLayout(card, texts.Layout());
  const auto heads = [&](int64_t part, int64_t first, int64_t count) {
    return qkv.select(1, part).narrow(1, first, count);
  };
  const at::Tensor all =
      card.WindowAttention(heads(0, 0, 2), heads(1, 0, 2), heads(2, 0, 2), layout, 0.1);
  const at::Tensor second =
      card.WindowAttention(heads(0, 1, 1), heads(1, 1, 1), heads(2, 1, 1), layout, 0.1);
  EXPECT_LE((Float(second) - Float(all.narrow(1, 1, 1))).abs().max().item<float>(), 0.02);
}

// A whole Longformer in bfloat16: texts with globals and spans, beside the CPU in float32.
class CardEncoderTest : public EncoderTest {};

TEST_F(CardEncoderTest, AModel_IsThatOfTheCpu_UpToBfloat16) {
  if (!cuda::emulation::kCanEmulate) GTEST_SKIP() << "sanitizers do not know these stacks";
  cuda::emulation::Seed(5);
  const auto card = std::make_shared<EmulatedCard>(kHopper);
  const auto on_card =
      Encoder::Load(checkpoint_.Write(config_), {.dtype = DataType::kBFloat16, .backend = card});
  ASSERT_TRUE(on_card.ok()) << on_card.status();
  TokenBatch batch;
  std::vector<EncodeOptions> options;
  const std::vector<int32_t> globals = {0, 7};
  for (const int length : {30, 1, 40}) {
    const std::vector<int32_t> ids = FormulaIds(length, length, 3, 40);
    TokenBatch::Text text{.token_ids = ids};
    if (length > 7) text.global_positions = globals;
    batch.Add(text);
    options.push_back({.pooling = length == 40 ? PoolingMode::kCls : PoolingMode::kMean,
                       .spans = {{0, length}, {length / 2, length}}});
  }
  const auto got = (*on_card)->Encode(batch, options), want = encoder_->Encode(batch, options);
  for (size_t text = 0; text < want.size(); ++text) {
    ASSERT_TRUE(got[text].ok() && want[text].ok()) << got[text].status() << want[text].status();
    EXPECT_GT(Cosine(got[text]->vector, want[text]->vector), 0.9995) << text;
    for (size_t span = 0; span < want[text]->span_vectors.size(); ++span) {
      EXPECT_GT(Cosine(got[text]->span_vectors[span], want[text]->span_vectors[span]), 0.9995)
          << text << ", span " << span;
    }
  }
  EXPECT_GE(card->launches(), 12) << "embeddings, and five a layer";
}

// A Reformer on the card, whose chunks the backend hands to the kernels, beside the portable form.
TEST(CardReformer, AModel_IsThatOfThePortableBackend) {
  if (!cuda::emulation::kCanEmulate) GTEST_SKIP() << "sanitizers do not know these stacks";
  cuda::emulation::Seed(6);
  nlohmann::json config = ReformerConfigJson();
  config.update({{"attention_head_size", 32}, {"lsh_attn_chunk_length", 16}});
  const EmulatedCard card(kHopper);
  const auto on_card = FormulaReformer(config, {DataType::kBFloat16, &card});
  const auto portable = FormulaReformer(config, {DataType::kBFloat16, &kPortable});
  ASSERT_TRUE(on_card && portable);
  TokenBatch batch;
  for (const int length : {60, 16, 3, 33}) {
    const std::vector<int32_t> ids = FormulaIds(length, length, 1, 40);
    batch.Add({.token_ids = ids});
  }
  const auto got = on_card->Forward(batch, {}), want = portable->Forward(batch, {});
  ASSERT_TRUE(got.ok() && want.ok());
  for (int32_t text = 0; text < batch.num_texts(); ++text) {
    const at::Tensor a = got->Rows(text, 0, batch.length(text)).mean(0);
    const at::Tensor b = want->Rows(text, 0, batch.length(text)).mean(0);
    EXPECT_GT((a.dot(b) / (a.norm() * b.norm())).item<double>(), 0.999) << "text " << text;
  }
  EXPECT_GT(card.launches(), 0);
}

}  // namespace
}  // namespace longspan
