// Outputs and intermediate values of the published Reformer, for weights that come from a formula
// (reformer_checkpoint.h); on the kernels of the CPU and through the portable backend.
#include <ATen/ops/from_blob.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/matmul.h>
#include <gmock/gmock.h>

#include "core/attention/lsh_attention.h"
#include "core/kernels/lsh_hash.h"
#include "core/kernels/lsh_sort.h"
#include "tests/golden/placements.h"
#include "tests/golden/reformer_checkpoint.h"

namespace longspan {
namespace {

struct Row {
  int position;
  float values[4];
};

struct GoldenCase {
  const char* name;
  nlohmann::json changes;
  int length;
  double sum, sum_of_squares;
  std::vector<Row> rows;
};

std::vector<GoldenCase> Cases() {
  const nlohmann::json decoder = {{"is_decoder", true}};
  const nlohmann::json e = {{"is_decoder", true}, {"num_buckets", {4, 6}}, {"num_hashes", 4}};
  const nlohmann::json i = {{"axial_pos_embds", false},
                            {"hidden_act", "gelu"},
                            {"local_num_chunks_after", 1},
                            {"lsh_num_chunks_after", 1}};
  return {
      {"A",
       {},
       32,
       -20.050079,
       1064.257726,
       {{0, {-0.623118, 0.713991, 0.250339, 0.093164}},
        {1, {0.119467, -0.500472, 0.419540, -1.204346}},
        {17, {0.562161, 1.222001, -0.963652, -1.278119}},
        {31, {0.259515, -0.490416, -0.410244, -0.886354}}}},
      {"B",
       decoder,
       32,
       -20.754477,
       1084.598078,
       {{0, {0.178588, 1.442060, -0.051063, -0.038879}},
        {1, {1.299315, 0.224844, -0.856820, -0.704867}},
        {17, {0.402932, 1.244483, -0.913049, -1.199559}},
        {31, {0.286423, -0.701559, -0.599174, -0.273936}}}},
      {"C",
       {},
       27,
       -20.011759,
       906.442347,
       {{0, {0.285904, 0.704370, 0.255054, 0.177570}},
        {1, {0.589395, -0.249442, 0.065677, -1.013086}},
        {17, {0.601792, 1.201893, -1.023077, -1.252564}},
        {26, {0.450780, 0.600731, -0.644953, -0.631661}}}},
      {"D",
       {{"num_buckets", nullptr}},
       27,
       -19.983641,
       902.006272,
       {{0, {-0.109240, 1.054443, 0.325840, 0.221186}},
        {26, {0.420917, 0.551605, -0.407532, -0.762846}}}},
      {"E",
       e,
       27,
       -19.842044,
       931.183406,
       {{0, {0.181965, 1.448587, -0.049000, -0.042663}},
        {1, {1.318562, 0.412100, -0.891007, -0.772287}},
        {26, {0.450680, 0.559507, -0.706118, -0.488415}}}},
      {"G",
       {},
       4,
       -2.060701,
       120.637825,
       {{0, {0.288526, 0.594955, -0.201029, 0.337557}},
        {3, {-0.046304, 0.843090, -0.409550, 0.268032}}}},
      {"H",
       {},
       6,
       -2.766986,
       198.874389,
       {{0, {-0.200588, 0.020831, 0.170935, 0.773739}},
        {5, {0.189782, 0.059661, 0.600337, -1.381552}}}},
      {"I",
       i,
       32,
       -12.961336,
       1008.002379,
       {{0, {1.115003, -0.812393, -0.127528, -0.500093}},
        {17, {0.212540, 1.168322, -1.137367, -0.820921}},
        {31, {0.549812, -0.190413, -0.669393, -1.172099}}}},
  };
}

nlohmann::json Changed(const nlohmann::json& changes) {
  nlohmann::json config = ReformerConfigJson();
  if (!changes.is_null()) config.update(changes);
  return config;
}

void ExpectRow(const std::vector<float>& got, const Row& want, const std::string& name) {
  for (int k = 0; k < 4; ++k)
    EXPECT_NEAR(got[want.position * 32 + k], want.values[k], 1e-4)
        << name << " [" << want.position << ", " << k << "]";
}

class ReformerGolden : public testing::TestWithParam<Where> {
 protected:
  std::unique_ptr<EncoderModel> Load(const nlohmann::json& config) const {
    return FormulaReformer(config, GetParam().placement());
  }
};

TEST_P(ReformerGolden, EveryCase) {
  for (const GoldenCase& golden : Cases()) {
    const auto model = Load(Changed(golden.changes));
    ASSERT_NE(model, nullptr);
    const std::vector<int32_t> ids = FormulaIds(0, golden.length, 1, 40);
    TokenBatch batch;
    batch.Add({.token_ids = ids});
    const std::vector<float> got = TokenVectors(*model, batch, 0);
    double sum = 0, sum_of_squares = 0;
    for (float value : got) sum += value, sum_of_squares += static_cast<double>(value) * value;
    EXPECT_NEAR(sum, golden.sum, 2e-3) << golden.name;
    EXPECT_NEAR(sum_of_squares, golden.sum_of_squares, 5e-3) << golden.name;
    for (const Row& row : golden.rows) ExpectRow(got, row, golden.name);
  }
}

// Case F: a batch of two texts, the second masked from token 20 on. The published sums are over all
// rows, also those that are not read.
TEST_P(ReformerGolden, CaseF_MaskedTail) {
  const auto model = Load(ReformerConfigJson());
  ASSERT_NE(model, nullptr);
  std::vector<int32_t> first = FormulaIds(0, 27, 1, 40), second = FormulaIds(1, 27, 1, 40);
  std::vector<uint8_t> mask(27, 1);
  for (int i = 20; i < 27; ++i) second[i] = 0, mask[i] = 0;
  TokenBatch batch;
  batch.Add({.token_ids = first});
  batch.Add({.token_ids = second, .attention_mask = mask});
  double sum = 0, sum_of_squares = 0;
  for (int text : {0, 1}) {
    for (float value : TokenVectors(*model, batch, text))
      sum += value, sum_of_squares += static_cast<double>(value) * value;
  }
  EXPECT_NEAR(sum, -33.402653, 2e-3);
  EXPECT_NEAR(sum_of_squares, 1807.951942, 5e-3);
  ExpectRow(TokenVectors(*model, batch, 0), {26, {0.450780, 0.600731, -0.644953, -0.631661}}, "F");
  ExpectRow(TokenVectors(*model, batch, 1), {0, {0.212006, 0.743026, -0.185413, 0.641762}}, "F");
  ExpectRow(TokenVectors(*model, batch, 1), {19, {0.036388, 0.114243, -0.467426, -0.730356}}, "F");
}

// The second stream of case A, layer by layer.
std::vector<at::Tensor> HiddenOfCaseA(const EncoderModel& model) {
  const std::vector<int32_t> ids = FormulaIds(0, 32, 1, 40);
  TokenBatch batch;
  batch.Add({.token_ids = ids});
  std::vector<at::Tensor> hidden;
  TokenVectors(model, batch, 0, {.observe_layer = [&](int layer, const at::Tensor& x) {
                 EXPECT_EQ(layer, static_cast<int>(hidden.size()));
                 hidden.push_back(x.clone());
               }});
  return hidden;
}

TEST_P(ReformerGolden, EmbeddingsAndLayersOfCaseA) {
  const auto model = Load(ReformerConfigJson());
  ASSERT_NE(model, nullptr);
  const std::vector<at::Tensor> hidden = HiddenOfCaseA(*model);
  ASSERT_EQ(hidden.size(), 5u);
  const auto expect = [&](int layer, int position, const std::vector<float>& want) {
    for (size_t k = 0; k < want.size(); ++k)
      EXPECT_NEAR(hidden[layer][position][k].item<float>(), want[k], 2e-5)
          << layer << " " << position;
  };
  expect(0, 0, {0.077529, -0.770556, 0.956407, -0.222175, 0.068487, -0.092537});
  expect(0, 9, {-0.282147, 0.989742, -0.382835, -0.192337, 0.285639, -0.336200});
  expect(0, 10, {0.498629, 0.302571, -0.994352, -0.081077, -0.372143, -0.853008});
  expect(1, 17, {1.276938, -0.380776, -1.625163, -1.996880});
  expect(2, 17, {1.370919, -1.735117, -1.508717, -2.251205});
}

INSTANTIATE_TEST_SUITE_P(Placements, ReformerGolden,
                         testing::Values(Where{}, Where{DataType::kFloat32, /*on_backend=*/true}),
                         [](const auto& info) { return info.param.name(); });

// Layer 1, head 0 of case A: LayerNorm and query_key with the formula's weights, then the
// rotations, the hash and the sort of this library.
TEST(ReformerGoldenHash, BucketsAndSortedIndicesOfCaseA) {
  FormulaCheckpoint checkpoint(0.6, {"layer_norm.weight"});
  AddReformerWeights(checkpoint, ReformerConfigJson());
  const auto model = OpenReformer(checkpoint.Write(ReformerConfigJson()));
  ASSERT_TRUE(model.ok()) << model.status();
  const auto weight = [&](const std::string& name, std::vector<int64_t> shape) {
    return at::from_blob(checkpoint.values("encoder.layers.1.attention." + name).data(), shape,
                         at::kFloat);
  };
  const at::Tensor normed =
      at::layer_norm(HiddenOfCaseA(**model)[1], {16}, weight("layer_norm.weight", {16}),
                     weight("layer_norm.bias", {16}), 1e-12);
  const at::Tensor qk = at::matmul(normed, weight("self_attention.query_key.weight", {16, 16}).t())
                            .narrow(1, 0, 8)
                            .contiguous();
  const LshRotations rotations = DrawLshRotations(0, 2, 8, 2, {4});

  std::vector<int32_t> buckets(64), slots(64);
  kernels::LshHash({.x = qk.const_data_ptr<float>(),
                    .x_stride = 8,
                    .rows = 32,
                    .head_size = 8,
                    .rotations = rotations.values.const_data_ptr<float>(),
                    .rotation_stride = rotations.values.size(2),
                    .num_hashes = 2,
                    .factors = rotations.factors.data(),
                    .num_factors = 1,
                    .buckets = buckets.data(),
                    .bucket_stride = 32});
  for (int round : {0, 1}) kernels::LshSort(&buckets[round * 32], 32, 5, &slots[round * 32]);
  // The published code counts buckets and slots through all rounds.
  for (int i = 32; i < 64; ++i) buckets[i] += 4, slots[i] += 32;
  EXPECT_THAT(buckets, testing::ElementsAreArray({3, 0, 3, 2, 0, 3, 2, 2, 3, 3, 3, 3, 2, 3, 2, 2,
                                                  3, 3, 3, 3, 3, 3, 2, 2, 3, 3, 3, 3, 1, 3, 1, 3,
                                                  4, 5, 5, 7, 5, 5, 6, 6, 6, 6, 6, 6, 6, 5, 7, 4,
                                                  6, 6, 5, 5, 6, 5, 6, 6, 6, 5, 5, 5, 5, 5, 6, 5}));
  EXPECT_THAT(slots, testing::ElementsAreArray({1,  4,  28, 30, 3,  6,  7,  12, 14, 15, 22, 23, 0,
                                                2,  5,  8,  9,  10, 11, 13, 16, 17, 18, 19, 20, 21,
                                                24, 25, 26, 27, 29, 31, 32, 47, 33, 34, 36, 37, 45,
                                                50, 51, 53, 57, 58, 59, 60, 61, 63, 38, 39, 40, 41,
                                                42, 43, 44, 48, 49, 52, 54, 55, 56, 62, 35, 46}));
}

}  // namespace
}  // namespace longspan
