// The shortcut of cls pooling, which computes the first row alone in the last layer, gives the row
// that the full pass gives. For every family but Reformer, which has no such shortcut; in float32
// also through the portable backend.
#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <tuple>
#include <vector>

#include "core/checkpoint/model_folder.h"
#include "core/layers/linear.h"
#include "core/models/model.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/golden/placements.h"

namespace longspan {
namespace {

class FirstRowTest : public testing::TestWithParam<std::tuple<std::string, Where>> {};

// What float32 leaves is the order of sums. In int8 the two passes round the attended row, so that
// a value may fall on the next step of 8 bits in the products behind it.
bool Equal(const at::Tensor& got, const at::Tensor& want, DataType dtype) {
  if (dtype == DataType::kFloat32) return got.allclose(want, 1e-5, 1e-5);
  return ((got - want).norm() / want.norm()).item<double>() < 0.01;
}

TEST_P(FirstRowTest, FirstRowOnly_EqualsAllRows) {
  const auto& [family, where] = GetParam();
  const DataType dtype = where.dtype;
  if (const absl::Status supported = where.Supported(); !supported.ok()) GTEST_SKIP() << supported;
  const std::string path = std::string(LONGSPAN_FIXTURES) + "/" + family;
  const auto folder = ModelFolder::Open(path);
  ASSERT_TRUE(folder.ok()) << folder.status();
  const auto model = LoadEncoderModel(*folder, where.placement());
  ASSERT_TRUE(model.ok()) << model.status();
  const nlohmann::json cases = nlohmann::json::parse(std::ifstream(path + "/cases.json"));
  // Every text of every case: those with a global first token among those without.
  TokenBatch all;
  std::vector<TokenBatch> batches(1);
  for (const nlohmann::json& c : cases["cases"]) {
    TokenBatch batch;
    for (size_t b = 0; b < c["input_ids"].size(); ++b) {
      const std::vector<int32_t> ids = c["input_ids"][b];
      const std::vector<uint8_t> mask = c["attention_mask"][b];
      std::vector<int32_t> globals;
      if (c.contains("global_positions"))
        globals = c["global_positions"][b].get<std::vector<int32_t>>();
      batch.Add({.token_ids = ids, .global_positions = globals, .attention_mask = mask});
      all.Add({.token_ids = ids, .global_positions = globals, .attention_mask = mask});
    }
    batches.push_back(batch);
  }
  batches[0] = all;
  for (const TokenBatch& batch : batches) {
    ForwardOptions first_rows{.first_row_only = std::vector<bool>(batch.num_texts(), true)};
    int64_t rows_of_last_layer = 0;
    first_rows.observe_layer = [&](int, const at::Tensor& hidden) {
      rows_of_last_layer = hidden.size(0);
    };
    const auto short_cut = (*model)->Forward(batch, first_rows);
    const auto full = (*model)->Forward(batch, {});
    ASSERT_TRUE(short_cut.ok() && full.ok());
    EXPECT_EQ(rows_of_last_layer, batch.num_texts()) << "the shortcut was not taken";
    for (int32_t text = 0; text < batch.num_texts(); ++text) {
      EXPECT_TRUE(Equal(short_cut->Rows(text, 0, 1), full->Rows(text, 0, 1), dtype)) << text;
    }
    // One text wants all its rows, and they are all there.
    first_rows.first_row_only.back() = false;
    const auto mixed = (*model)->Forward(batch, first_rows);
    ASSERT_TRUE(mixed.ok());
    const int32_t last = batch.num_texts() - 1;
    EXPECT_TRUE(Equal(mixed->Rows(last, 0, batch.length(last)),
                      full->Rows(last, 0, batch.length(last)), dtype));
  }
}

INSTANTIATE_TEST_SUITE_P(
    AllFamilies, FirstRowTest,
    testing::Combine(testing::Values("longformer-windows", "longformer-mlm", "longformer-long",
                                     "bert", "roberta", "led", "modernbert", "bigbird"),
                     testing::Values(Where{DataType::kFloat32}, Where{DataType::kInt8},
                                     Where{DataType::kFloat32, /*on_backend=*/true})),
    [](const auto& info) {
      std::string name = std::get<0>(info.param) + "_" + std::get<1>(info.param).name();
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
}  // namespace longspan
