// The Reformer fixtures: checkpoints as transformers writes them, with its outputs for every case.
// The hidden states of the case "odd" say which layer differs first. On the kernels of the CPU and
// through the portable backend, which is the composition that a card runs.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>
#include <string>
#include <tuple>

#include "core/layers/linear.h"
#include "core/weights/safetensors_reader.h"
#include "nlohmann/json.hpp"
#include "tests/core/compute_team.h"
#include "tests/golden/placements.h"
#include "tests/golden/reformer_checkpoint.h"

namespace longspan {
namespace {

class ReformerFixture : public testing::TestWithParam<std::tuple<std::string, bool>> {
 protected:
  std::string folder() const {
    return std::string(LONGSPAN_FIXTURES) + "/" + std::get<0>(GetParam());
  }
  bool on_backend() const { return std::get<1>(GetParam()); }

  void SetUp() override {
    auto model = OpenReformer(folder(), Where{DataType::kFloat32, on_backend()}.placement());
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = *std::move(model);
    auto expected = SafetensorsReader::Open(folder() + "/expected.safetensors");
    ASSERT_TRUE(expected.ok()) << expected.status();
    expected_ = *std::move(expected);
    cases_ = nlohmann::json::parse(std::ifstream(folder() + "/cases.json"))["cases"];
    ASSERT_FALSE(cases_.empty());
  }

  static TokenBatch Batch(const nlohmann::json& golden) {
    TokenBatch batch;
    for (size_t row = 0; row < golden["input_ids"].size(); ++row) {
      const auto ids = golden["input_ids"][row].get<std::vector<int32_t>>();
      const auto mask = golden["attention_mask"][row].get<std::vector<uint8_t>>();
      batch.Add({.token_ids = ids, .attention_mask = mask});
    }
    return batch;
  }

  const float* Expected(const std::string& name) const {
    return reinterpret_cast<const float*>(expected_->tensors().at(name).data.data());
  }

  std::unique_ptr<EncoderModel> model_;
  std::unique_ptr<SafetensorsReader> expected_;
  nlohmann::json cases_;
};

double WorstError(const std::vector<float>& got, const float* want) {
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i)
    worst = std::max<double>(worst, std::isnan(got[i]) ? 1e9 : std::abs(got[i] - want[i]));
  return worst;
}

TEST_P(ReformerFixture, EveryCase_EqualsTransformers) {
  for (const nlohmann::json& golden : cases_) {
    const std::string name = golden["name"];
    const TokenBatch batch = Batch(golden);
    const float* want = Expected(name);
    for (int32_t text = 0; text < batch.num_texts(); ++text) {
      std::vector<float> got = TokenVectors(*model_, batch, text);
      const size_t width = got.size() / batch.length(text);
      // Rows that are not read are zeros in the file.
      for (int64_t i = 0; i < batch.length(text); ++i) {
        if (golden["attention_mask"][text][i] == 0)
          std::fill_n(got.begin() + i * width, width, 0.0f);
      }
      EXPECT_LT(WorstError(got, want), 1e-4) << name << " text " << text;
      want += got.size();
    }
  }
}

TEST_P(ReformerFixture, EveryLayerOfCaseOdd_EqualsTransformers) {
  for (const nlohmann::json& golden : cases_) {
    if (golden["name"] != "odd") continue;
    size_t layers = 0;
    TokenVectors(*model_, Batch(golden), 0,
                 {.observe_layer = [&](int layer, const at::Tensor& hidden) {
                   const at::Tensor dense = hidden.contiguous();
                   const std::vector<float> got(dense.const_data_ptr<float>(),
                                                dense.const_data_ptr<float>() + dense.numel());
                   EXPECT_LT(WorstError(got, Expected("odd.hidden." + std::to_string(layer))), 1e-4)
                       << "after layer " << layer;
                   ++layers;
                 }});
    EXPECT_EQ(layers, model_->info().layers.size() + 1);
    return;
  }
  FAIL() << "no case odd";
}

// The mean of the token vectors that are read.
std::vector<double> MeanVector(const EncoderModel& model, const TokenBatch& batch, int32_t text,
                               const nlohmann::json& mask) {
  const std::vector<float> rows = TokenVectors(model, batch, text);
  std::vector<double> mean(rows.size() / batch.length(text), 0.0);
  for (size_t i = 0; i < rows.size(); ++i) {
    if (mask[i / mean.size()] != 0) mean[i % mean.size()] += rows[i];
  }
  return mean;
}

double Cosine(const std::vector<double>& a, const std::vector<double>& b) {
  const auto dot = [](const auto& x, const auto& y) {
    return std::inner_product(x.begin(), x.end(), y.begin(), 0.0);
  };
  return dot(a, b) / std::sqrt(dot(a, a) * dot(b, b));
}

// The bounds are wide because these weights are far larger than trained ones, and because a token
// that changes its bucket changes all of its attention.
TEST_P(ReformerFixture, SmallerTypes_StayCloseToFloat32) {
  for (const auto& [dtype, least] : {std::pair{DataType::kBFloat16, 0.99},
                                     {DataType::kInt8, 0.95},
                                     {DataType::kFloat16, 0.99}}) {
    const Where where{dtype, on_backend()};
    if (!where.Supported().ok()) continue;
    auto model = OpenReformer(folder(), where.placement());
    ASSERT_TRUE(model.ok()) << model.status();
    double worst = 1;
    for (const nlohmann::json& golden : cases_) {
      const TokenBatch batch = Batch(golden);
      for (int32_t text = 0; text < batch.num_texts(); ++text) {
        const nlohmann::json& mask = golden["attention_mask"][text];
        worst = std::min(worst, Cosine(MeanVector(**model, batch, text, mask),
                                       MeanVector(*model_, batch, text, mask)));
      }
    }
    EXPECT_GT(worst, least) << DataTypeName(dtype);
    RecordProperty(std::string(DataTypeName(dtype)) + "_worst_cosine", std::to_string(worst));
  }
}

INSTANTIATE_TEST_SUITE_P(All, ReformerFixture,
                         testing::Combine(testing::Values("reformer-auto", "reformer-causal",
                                                          "reformer-local", "reformer-lsh",
                                                          "reformer-mixed"),
                                          testing::Bool()),
                         [](const auto& info) {
                           return std::get<0>(info.param).substr(9) +
                                  (std::get<1>(info.param) ? "_portable_backend" : "");
                         });

}  // namespace
}  // namespace longspan
