// Longformer's golden vectors: outputs of the published code for a tiny model whose weights come
// from a formula (checkpoints.h).
#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_pinv.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <map>
#include <vector>

#include "core/attention/global_row_attention.h"
#include "core/attention/sliding_window_attention.h"
#include "core/checkpoint/model_folder.h"
#include "core/models/model.h"
#include "core/token_batch.h"
#include "gtest/gtest.h"
#include "tests/golden/checkpoints.h"

namespace longspan {
namespace {

constexpr double kValueTolerance = 1e-5;  // the vectors are printed with six digits

struct Text {
  std::vector<int32_t> ids;
  std::vector<int32_t> globals;
  std::vector<uint8_t> mask;
};

class LongformerGoldenTest : public testing::Test {
 protected:
  LongformerGoldenTest() : checkpoint_(0.4, kBertNorms) {
    AddBertWeights(checkpoint_, {}, /*global_projections=*/true);
    checkpoint_.AddLinear("pooler.dense", 24, 24);
    const auto folder = ModelFolder::Open(checkpoint_.Write(LongformerConfigJson()));
    EXPECT_TRUE(folder.ok()) << folder.status();
    auto model = LoadEncoderModel(*folder, DataType::kFloat32);
    EXPECT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
  }

  // The hidden states [n, 24] of each text.
  std::vector<at::Tensor> Run(const std::vector<Text>& texts) {
    TokenBatch batch;
    for (const Text& text : texts)
      batch.Add(
          {.token_ids = text.ids, .global_positions = text.globals, .attention_mask = text.mask});
    layers_.clear();
    ForwardOptions options;
    options.observe_layer = [this](int layer, const at::Tensor& hidden) {
      layers_[layer] = hidden.clone();
    };
    const auto hidden = model_->Forward(batch, options);
    EXPECT_TRUE(hidden.ok()) << hidden.status();
    std::vector<at::Tensor> rows;
    for (int32_t i = 0; i < batch.num_texts(); ++i)
      rows.push_back(hidden->Rows(i, 0, batch.length(i)).contiguous());
    return rows;
  }

  at::Tensor Weight(const std::string& name, std::vector<int64_t> shape) {
    return at::from_blob(checkpoint_.values(name).data(), shape, at::kFloat);
  }
  at::Tensor Project(const at::Tensor& x, const std::string& projection) {
    const std::string name = "encoder.layer.0.attention.self." + projection;
    return at::linear(x, Weight(name + ".weight", {24, 24}), Weight(name + ".bias", {24}));
  }
  std::vector<double> Pooled(const at::Tensor& rows) {
    const at::Tensor pooled =
        at::linear(rows.slice(0, 0, 1), Weight("pooler.dense.weight", {24, 24}),
                   Weight("pooler.dense.bias", {24}))
            .tanh();
    return {pooled.data_ptr<float>(), pooled.data_ptr<float>() + 24};
  }

  FormulaCheckpoint checkpoint_;
  std::unique_ptr<EncoderModel> model_;
  std::map<int, at::Tensor> layers_;
};

void ExpectRow(const at::Tensor& rows, int64_t row, const std::vector<double>& want) {
  const at::Tensor contiguous = rows.contiguous();
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_NEAR(contiguous.data_ptr<float>()[row * contiguous.size(1) + static_cast<int64_t>(i)],
                want[i], kValueTolerance)
        << "row " << row << " column " << i;
  }
}

void ExpectSums(const std::vector<at::Tensor>& texts, double sum, double sum_of_squares) {
  double got_sum = 0, got_squares = 0;
  for (const at::Tensor& rows : texts) {
    for (int64_t i = 0; i < rows.numel(); ++i) {
      const double value = rows.data_ptr<float>()[i];
      got_sum += value;
      got_squares += value * value;
    }
  }
  EXPECT_NEAR(got_sum, sum, 2e-4);
  EXPECT_NEAR(got_squares, sum_of_squares, 2e-3);
}

TEST(FormulaCheckpointTest, Formula_GivesPublishedValues) {
  EXPECT_EQ(NameHash("embeddings.word_embeddings.weight"), 3680931216u);
  const std::vector<double> want = {0.0844003, -0.45549803, 0.19262581, 0.77916225};
  for (uint32_t k = 0; k < 4; ++k) EXPECT_NEAR(FormulaUniform(3680931216u, k), want[k], 1e-7);
  EXPECT_EQ(FormulaIds(0, 21, 3, 40),
            (std::vector<int32_t>{3,  13, 29, 14, 5, 39, 5,  14, 29, 13, 3,
                                  36, 38, 9,  23, 6, 32, 27, 28, 35, 11}));
}

TEST_F(LongformerGoldenTest, CaseA_WindowsOnly) {
  const std::vector<at::Tensor> out = Run({{.ids = FormulaIds(0, 21, 3, 40)}});
  ExpectSums(out, 28.418867, 529.484337);
  ExpectRow(out[0], 0, {-2.197875, -0.267458, 1.210984, 2.101492});
  ExpectRow(out[0], 10, {-1.818787, -0.619564, 1.995860, 1.921650});
  ExpectRow(out[0], 20, {-1.234494, -0.697264, 1.404715, 1.888054});
  const std::vector<double> pooled = Pooled(out[0]),
                            want = {-0.176673, 0.466094, 0.593393, 0.985430};
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(pooled[i], want[i], kValueTolerance);
  ExpectRow(layers_[0], 0, {-1.137034, 1.376026, 1.040584, 0.367933});
  ExpectRow(layers_[0], 10, {0.168008, 0.909808, 0.349871, 0.604940});
  ExpectRow(layers_[1], 10, {0.608827, 0.591499, 1.960052, 1.415543});
}

TEST_F(LongformerGoldenTest, CaseB_FirstTokenGlobal) {
  const std::vector<at::Tensor> out = Run({{.ids = FormulaIds(0, 21, 3, 40), .globals = {0}}});
  ExpectSums(out, 25.929269, 523.294639);
  ExpectRow(out[0], 0, {-1.802133, -1.362011, 1.069138, 1.384922});
  ExpectRow(out[0], 10, {-1.703321, -0.728379, 1.954408, 2.076968});
  ExpectRow(out[0], 20, {-0.896791, -0.784193, 0.969301, 2.197433});
  const std::vector<double> pooled = Pooled(out[0]),
                            want = {-0.474729, 0.770067, 0.957481, 0.840949};
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(pooled[i], want[i], kValueTolerance);
  ExpectRow(layers_[1], 0, {-0.920447, -0.338545, 2.058140, -0.387163});
  ExpectRow(layers_[1], 10, {0.610966, 0.575517, 1.873750, 1.508145});
}

TEST_F(LongformerGoldenTest, CaseC_BatchWithPaddingAndScatteredGlobals) {
  std::vector<int32_t> second = FormulaIds(1, 13, 3, 40);
  EXPECT_EQ(second, (std::vector<int32_t>{14, 24, 3, 25, 16, 13, 16, 25, 3, 24, 14, 10, 12}));
  second.resize(21, 1);
  std::vector<uint8_t> mask(13, 1);
  mask.resize(21, 0);
  // 15 lies in the padding, so it is not global.
  const std::vector<at::Tensor> out = Run({{.ids = FormulaIds(0, 21, 3, 40), .globals = {0, 5, 20}},
                                           {.ids = second, .globals = {0, 2, 15}, .mask = mask}});
  ExpectSums(out, 26.590005, 1071.119564);
  ExpectRow(out[0], 0, {-1.773216, -1.445982, 0.868111, 1.182000});
  ExpectRow(out[0], 4, {-1.172634, -0.370953, 1.013416, 2.066534});
  ExpectRow(out[0], 20, {-0.713528, -2.675858, 1.355111, 0.903978});
  ExpectRow(out[1], 0, {-1.250780, -1.750904, 1.370033, 1.083388});
  ExpectRow(out[1], 12, {-1.443054, -0.785867, 0.690774, 2.783606});
  ExpectRow(out[1], 14, {-2.456261, -0.315514, 1.615651, 0.983776});
  ExpectRow(out[0].mean(0, /*keepdim=*/true), 0, {-1.487976, -0.653672, 1.364134, 2.031941});
  ExpectRow(out[1].slice(0, 0, 13).mean(0, /*keepdim=*/true), 0,
            {-1.707693, -0.427412, 0.905220, 2.088676});
}

TEST_F(LongformerGoldenTest, CaseD_HoleInTheMask) {
  const std::vector<at::Tensor> out =
      Run({{.ids = FormulaIds(0, 8, 3, 40), .mask = {1, 1, 1, 0, 1, 1, 1, 1}}});
  ExpectSums(out, 9.805244, 204.419498);
  ExpectRow(out[0], 0, {-2.175564, -0.317885, 1.220218, 2.156526});
  ExpectRow(out[0], 3, {-0.829403, -0.444294, 1.310674, 1.442793});
  ExpectRow(out[0], 4, {-1.539836, -0.199442, 0.801057, 2.111026});
  ExpectRow(out[0], 7, {-1.919019, 0.068383, 1.094902, 2.494457});
}

TEST_F(LongformerGoldenTest, CaseE_OneToken) {
  const std::vector<at::Tensor> out = Run({{.ids = FormulaIds(0, 1, 3, 40)}});
  ExpectSums(out, 0.921528, 23.898864);
  ExpectRow(out[0], 0, {-1.303560, -0.729187, 0.896798, 2.896067});
}

// The attention of layer 0 in case B, read out of the kernels. With unit vectors as values, the
// output of head 0 is its probabilities, eight keys at a time, since the head is eight wide.
TEST_F(LongformerGoldenTest, CaseB_ProbabilitiesOfLayer0) {
  Run({{.ids = FormulaIds(0, 21, 3, 40), .globals = {0}}});
  const at::Tensor x = layers_[0];  // [21, 24]
  const std::vector<int32_t> cu_seqlens = {0, 21}, globals = {0}, cu_globals = {0, 1};
  const std::vector<int64_t> windows = {2};
  const PackedLayout layout = {
      .cu_seqlens = cu_seqlens, .windows = windows, .globals = globals, .cu_globals = cu_globals};
  const at::Tensor q = Project(x, "query").view({21, 3, 8}), k = Project(x, "key").view({21, 3, 8});
  std::vector<at::Tensor> parts;
  for (int64_t first = 0; first < 24; first += 8) {
    // [21, 8]
    const at::Tensor keys = at::eye(24, at::kFloat).slice(0, 0, 21).slice(1, first, first + 8);
    const at::Tensor v = keys.unsqueeze(1).expand({21, 3, 8}).contiguous();
    parts.push_back(SlidingWindowAttention(q, k, v, layout, 1.0 / std::sqrt(8.0)).select(1, 0));
  }
  const at::Tensor probabilities = at::cat(parts, 1);  // [query, key]
  auto p = [&](int64_t query, int64_t key) { return probabilities[query][key].item<double>(); };
  const std::vector<double> query10 = {0.875865, 0.081897, 0.009784, 0.016175, 0.003933};
  EXPECT_NEAR(p(10, 0), 0.012345, 2e-6);
  for (int64_t i = 0; i < 5; ++i) EXPECT_NEAR(p(10, 8 + i), query10[i], 2e-6);
  // The global key lies in the window and counts once.
  const std::vector<double> query1 = {0.125819, 0.529291, 0.276850, 0.068040};
  for (int64_t i = 0; i < 4; ++i) EXPECT_NEAR(p(1, i), query1[i], 2e-6);
  EXPECT_EQ(p(1, 4), 0.0);

  // The global row. The value weights are chosen so that the value of token j in head 0 is unit
  // vector j, for the first eight tokens. inverse [24, 21].
  const at::Tensor inverse = at::linalg_pinv(x.to(at::kDouble), 1e-12, /*hermitian=*/false);
  at::Tensor value_weight = at::zeros({24, 24}, at::kFloat);
  value_weight.slice(0, 0, 8).copy_(inverse.slice(1, 0, 8).t());
  const std::string self = "encoder.layer.0.attention.self.";
  const GlobalProjections projections = {
      .query_weight = Weight(self + "query_global.weight", {24, 24}),
      .query_bias = Weight(self + "query_global.bias", {24}),
      .key_weight = Weight(self + "key_global.weight", {24, 24}),
      .key_bias = Weight(self + "key_global.bias", {24}),
      .value_weight = value_weight,
      .value_bias = at::zeros({24}, at::kFloat)};
  at::Tensor out = at::zeros({21, 3, 8}, at::kFloat);
  GlobalRowAttention(x, projections, 3, layout, out);
  const std::vector<double> first_keys = {0.072105, 0.009632, 0.064220, 0.118310};
  for (int64_t i = 0; i < 4; ++i) EXPECT_NEAR(out[0][0][i].item<double>(), first_keys[i], 1e-5);
}

// The attention output of a row that is not read is exactly zero. So the row's output does not
// depend on other tokens.
TEST_F(LongformerGoldenTest, MaskedRows_DoNotSeeAnything) {
  const std::vector<uint8_t> mask = {1, 1, 1, 0, 1, 1, 1, 1};
  std::vector<int32_t> ids = FormulaIds(0, 8, 3, 40);
  const at::Tensor before = Run({{.ids = ids, .mask = mask}})[0].clone();
  ids[0] = 20;
  const at::Tensor after = Run({{.ids = ids, .mask = mask}})[0];
  EXPECT_TRUE(before[3].equal(after[3]));
  EXPECT_FALSE(before[1].equal(after[1]));
}

TEST_F(LongformerGoldenTest, TaskPrefixAndHeads_LoadTheSame) {
  const at::Tensor want = Run({{.ids = FormulaIds(0, 21, 3, 40)}})[0].clone();
  checkpoint_.Remove("pooler.dense.weight");
  checkpoint_.Remove("pooler.dense.bias");
  const auto folder = ModelFolder::Open(checkpoint_.Write(LongformerConfigJson(), "roberta."));
  ASSERT_TRUE(folder.ok()) << folder.status();
  auto model = LoadEncoderModel(*folder, DataType::kFloat32);
  ASSERT_TRUE(model.ok()) << model.status();
  model_ = *std::move(model);
  EXPECT_TRUE(want.equal(Run({{.ids = FormulaIds(0, 21, 3, 40)}})[0]));
}

}  // namespace
}  // namespace longspan
