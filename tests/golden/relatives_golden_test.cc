// Golden vectors of ModernBERT and BigBird: outputs of the published code for tiny models whose
// weights come from a formula.
#include <ATen/core/Tensor.h>

#include <vector>

#include "core/checkpoint/model_folder.h"
#include "core/models/model.h"
#include "core/token_batch.h"
#include "gtest/gtest.h"
#include "tests/golden/checkpoints.h"

namespace longspan {
namespace {

std::unique_ptr<EncoderModel> LoadFrom(const std::string& path) {
  const auto folder = ModelFolder::Open(path);
  EXPECT_TRUE(folder.ok()) << folder.status();
  auto model = LoadEncoderModel(*folder, DataType::kFloat32);
  EXPECT_TRUE(model.ok()) << model.status();
  return *std::move(model);
}

// Two texts of the same padded length. The second is masked from token `real` on.
std::vector<at::Tensor> RunTwo(const EncoderModel& model, int64_t length, int64_t real) {
  TokenBatch batch;
  const std::vector<int32_t> first = FormulaIds(0, length, 3, 40);
  std::vector<int32_t> second = FormulaIds(1, length, 3, 40);
  std::vector<uint8_t> mask(length, 1);
  for (int64_t i = real; i < length; ++i) second[i] = mask[i] = 0;
  batch.Add({.token_ids = first});
  batch.Add({.token_ids = second, .attention_mask = mask});
  const auto hidden = model.Forward(batch, {});
  EXPECT_TRUE(hidden.ok()) << hidden.status();
  return {hidden->Rows(0, 0, length).contiguous(), hidden->Rows(1, 0, real).contiguous()};
}

void ExpectRow(const at::Tensor& rows, int64_t row, const std::vector<double>& want) {
  for (size_t i = 0; i < want.size(); ++i)
    EXPECT_NEAR(rows[row][static_cast<int64_t>(i)].item<double>(), want[i], 1e-5) << row;
}

void ExpectSums(const std::vector<at::Tensor>& texts, double sum, double sum_of_squares) {
  double got_sum = 0, got_squares = 0;
  for (const at::Tensor& rows : texts) {
    got_sum += rows.to(at::kDouble).sum().item<double>();
    got_squares += rows.to(at::kDouble).square().sum().item<double>();
  }
  EXPECT_NEAR(got_sum, sum, 5e-4);
  EXPECT_NEAR(got_squares, sum_of_squares, 5e-3);
}

void AddModernBertWeights(FormulaCheckpoint& checkpoint) {
  checkpoint.Add("embeddings.tok_embeddings.weight", {40, 24});
  checkpoint.Add("embeddings.norm.weight", {24});
  checkpoint.Add("final_norm.weight", {24});
  for (int i = 0; i < 4; ++i) {
    const std::string layer = "layers." + std::to_string(i) + ".";
    if (i > 0) checkpoint.Add(layer + "attn_norm.weight", {24});
    checkpoint.Add(layer + "attn.Wqkv.weight", {72, 24});
    checkpoint.Add(layer + "attn.Wo.weight", {24, 24});
    checkpoint.Add(layer + "mlp_norm.weight", {24});
    checkpoint.Add(layer + "mlp.Wi.weight", {40, 24});
    checkpoint.Add(layer + "mlp.Wo.weight", {24, 20});
  }
}

nlohmann::json ModernBertConfigJson() {
  return {{"model_type", "modernbert"}, {"vocab_size", 40},
          {"hidden_size", 24},          {"intermediate_size", 20},
          {"num_hidden_layers", 4},     {"num_attention_heads", 3},
          {"local_attention", 8},       {"max_position_embeddings", 64},
          {"norm_eps", 1e-5},           {"pad_token_id", 0}};
}

void ExpectModernBertVectors(const EncoderModel& model) {
  const std::vector<at::Tensor> out = RunTwo(model, 21, 13);
  ExpectSums(out, 3.248775, 866.690660);
  ExpectRow(out[0], 0, {1.034641, -0.333482, -0.087484, -0.632608});
  ExpectRow(out[0], 10, {1.042274, 1.271095, 0.750773, -0.159427});
  ExpectRow(out[1], 12, {0.784246, 0.658359, -0.317004, -1.195884});
}

TEST(ModernBertGoldenTest, NewSpelling) {
  FormulaCheckpoint checkpoint(0.4, {"norm.weight"});
  AddModernBertWeights(checkpoint);
  nlohmann::json config = ModernBertConfigJson();
  config["layer_types"] = {"full_attention", "sliding_attention", "sliding_attention",
                           "full_attention"};
  config["rope_parameters"] = {
      {"full_attention", {{"rope_theta", 160000.0}, {"rope_type", "default"}}},
      {"sliding_attention", {{"rope_theta", 10000.0}, {"rope_type", "default"}}}};
  ExpectModernBertVectors(*LoadFrom(checkpoint.Write(config)));
}

TEST(ModernBertGoldenTest, SpellingOf2024AndTaskPrefix) {
  FormulaCheckpoint checkpoint(0.4, {"norm.weight"});
  AddModernBertWeights(checkpoint);
  nlohmann::json config = ModernBertConfigJson();
  config["global_attn_every_n_layers"] = 3;
  config["global_rope_theta"] = 160000.0;
  config["local_rope_theta"] = 10000.0;
  ExpectModernBertVectors(*LoadFrom(checkpoint.Write(config, "model.")));
}

class BigBirdGoldenTest : public testing::Test {
 protected:
  BigBirdGoldenTest() : checkpoint_(0.4, kBertNorms) {
    const BertShape shape = {.max_positions = 96, .types = 2};
    AddBertWeights(checkpoint_, shape, /*global_projections=*/false);
    checkpoint_.AddLinear("pooler", 24, 24);
    config_ = BertConfigJson("big_bird", shape);
    config_["hidden_act"] = "gelu_new";
    config_["layer_norm_eps"] = 1e-12;
    config_["pad_token_id"] = 0;
    config_["block_size"] = 4;
    config_["num_random_blocks"] = 3;
  }

  FormulaCheckpoint checkpoint_;
  nlohmann::json config_;
};

TEST_F(BigBirdGoldenTest, SparseAndPaddedToWholeBlocks) {
  const std::vector<at::Tensor> out = RunTwo(*LoadFrom(checkpoint_.Write(config_)), 70, 63);
  ExpectSums(out, 204.676607, 3224.572246);
  ExpectRow(out[0], 0, {-1.778379, -0.143744, 1.272357, 1.938854});
  ExpectRow(out[0], 30, {-2.103796, 0.426032, 1.656301, 1.831666});
  ExpectRow(out[1], 62, {-1.350093, 0.812955, -0.018054, 2.863105});
}

// With attention_type "original_full" every text sees all of itself. A sparse model does so up to
// (5 + 2r) blocks.
TEST_F(BigBirdGoldenTest, OriginalFull_EqualsSparseWithWiderBlocks) {
  config_["attention_type"] = "original_full";
  const std::unique_ptr<EncoderModel> full = LoadFrom(checkpoint_.Write(config_));
  config_["attention_type"] = "block_sparse";
  const at::Tensor sparse = RunTwo(*LoadFrom(checkpoint_.Write(config_)), 70, 63)[0];
  config_["block_size"] = 8;  // full up to 88 tokens
  const std::unique_ptr<EncoderModel> wide = LoadFrom(checkpoint_.Write(config_));
  const at::Tensor want = RunTwo(*wide, 70, 63)[0], got = RunTwo(*full, 70, 63)[0];
  EXPECT_TRUE(got.allclose(want, 1e-6, 1e-6));
  EXPECT_FALSE(got.allclose(sparse, 1e-3, 1e-3));
}

// rescale_embeddings multiplies the word vectors by sqrt(E). A table that is already multiplied
// gives the same.
TEST_F(BigBirdGoldenTest, RescaleEmbeddings_MultipliesWordVectors) {
  config_["rescale_embeddings"] = true;
  const at::Tensor got = RunTwo(*LoadFrom(checkpoint_.Write(config_)), 30, 20)[0];
  config_["rescale_embeddings"] = false;
  for (float& value : checkpoint_.values("embeddings.word_embeddings.weight"))
    value *= 4.898979485566356f;
  const at::Tensor want = RunTwo(*LoadFrom(checkpoint_.Write(config_)), 30, 20)[0];
  EXPECT_TRUE(got.allclose(want, 1e-5, 1e-5));
}

// With use_bias false query, key and value have no bias, and a file that holds them anyway is
// refused.
TEST_F(BigBirdGoldenTest, WithoutBias_TakesNoBias) {
  config_["use_bias"] = false;
  const auto folder = ModelFolder::Open(checkpoint_.Write(config_));
  ASSERT_TRUE(folder.ok());
  EXPECT_FALSE(LoadEncoderModel(*folder, DataType::kFloat32).ok());
  for (const char* layer : {"0", "1"}) {
    for (const char* name : {"query", "key", "value"}) {
      const std::string bias =
          std::string("encoder.layer.") + layer + ".attention.self." + name + ".bias";
      for (float& value : checkpoint_.values(bias)) value = 0;
    }
  }
  config_["use_bias"] = true;
  const at::Tensor want = RunTwo(*LoadFrom(checkpoint_.Write(config_)), 50, 48)[0];
  config_["use_bias"] = false;
  for (const char* layer : {"0", "1"}) {
    for (const char* name : {"query", "key", "value"}) {
      checkpoint_.Remove(std::string("encoder.layer.") + layer + ".attention.self." + name +
                         ".bias");
    }
  }
  EXPECT_TRUE(RunTwo(*LoadFrom(checkpoint_.Write(config_)), 50, 48)[0].allclose(want, 1e-6, 1e-6));
}

}  // namespace
}  // namespace longspan
