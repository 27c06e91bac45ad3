// bfloat16 and int8 forms of every family against float32, on the mean of the token vectors. The fixtures' weights are far larger
// than a trained model's, so that the gates here are wider than those of the embedded model.
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include "core/encoder.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace longspan {
namespace {

double Cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += static_cast<double>(a[i]) * b[i];
    aa += static_cast<double>(a[i]) * a[i];
    bb += static_cast<double>(b[i]) * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

std::vector<std::vector<float>> Vectors(const std::string& path, DataType dtype) {
  auto encoder = Encoder::Load(path, {.dtype = dtype});
  EXPECT_TRUE(encoder.ok()) << encoder.status();
  const nlohmann::json cases = nlohmann::json::parse(std::ifstream(path + "/cases.json"));
  TokenBatch batch;
  for (const nlohmann::json& c : cases["cases"]) {
    for (size_t b = 0; b < c["input_ids"].size(); ++b) {
      const std::vector<int32_t> ids = c["input_ids"][b];
      const std::vector<uint8_t> mask = c["attention_mask"][b];
      std::vector<int32_t> globals;
      if (c.contains("global_positions")) globals = c["global_positions"][b].get<std::vector<int32_t>>();
      batch.Add({.token_ids = ids, .global_positions = globals, .attention_mask = mask});
    }
  }
  std::vector<std::vector<float>> vectors;
  for (PoolingMode pooling : {PoolingMode::kMean, PoolingMode::kCls}) {
    const std::vector<EncodeOptions> options(batch.num_texts(), {.pooling = pooling});
    for (const auto& result : (*encoder)->Encode(batch, options)) {
      EXPECT_TRUE(result.ok()) << result.status();
      if (result.ok()) vectors.push_back(result->vector);
    }
  }
  return vectors;
}

class DataTypesTest : public testing::TestWithParam<std::string> {
 protected:
  // Median and worst cosine against float32.
  void ExpectClose(DataType dtype, double median_gate, double worst_gate) {
    const std::string path = std::string(LONGSPAN_FIXTURES) + "/" + GetParam();
    if (const auto encoder = Encoder::Load(path, {.dtype = dtype});
        encoder.status().code() == absl::StatusCode::kFailedPrecondition) {
      GTEST_SKIP() << encoder.status();
    }
    const auto want = Vectors(path, DataType::kFloat32), got = Vectors(path, dtype);
    ASSERT_EQ(want.size(), got.size());
    std::vector<double> cosines;
    for (size_t i = 0; i < want.size(); ++i) cosines.push_back(Cosine(want[i], got[i]));
    std::sort(cosines.begin(), cosines.end());
    EXPECT_GE(cosines.front(), worst_gate);
    EXPECT_GE(cosines[cosines.size() / 2], median_gate);
    RecordProperty("worst_cosine", std::to_string(cosines.front()));
  }
};

TEST_P(DataTypesTest, BFloat16_StaysCloseToFloat32) { ExpectClose(DataType::kBFloat16, 0.999, 0.99); }
TEST_P(DataTypesTest, Int8_StaysCloseToFloat32) { ExpectClose(DataType::kInt8, 0.99, 0.95); }

INSTANTIATE_TEST_SUITE_P(AllFamilies, DataTypesTest,
                         testing::Values("longformer-windows", "longformer-long", "bert", "roberta", "led", "modernbert",
                                         "bigbird"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace longspan
