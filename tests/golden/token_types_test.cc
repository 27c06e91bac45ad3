// Token types against transformers 5.23: tests/fixtures/token_types.json, which make_fixtures.py
// writes, holds the mean of the hidden rows of texts whose types differ.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "core/encoder.h"
#include "nlohmann/json.hpp"

namespace longspan {
namespace {

using ::testing::FloatNear;
using ::testing::HasSubstr;
using ::testing::Pointwise;

const std::string kFixtures = LONGSPAN_FIXTURES;

std::unique_ptr<Encoder> Load(const std::string& fixture) {
  auto encoder = Encoder::Load(kFixtures + "/" + fixture);
  EXPECT_TRUE(encoder.ok()) << encoder.status();
  return encoder.ok() ? *std::move(encoder) : nullptr;
}

TEST(TokenTypes, AreThoseOfTransformers_AloneAndBesideATextWithoutTypes) {
  const auto cases = nlohmann::json::parse(std::ifstream(kFixtures + "/token_types.json"));
  ASSERT_EQ(cases.size(), 4u);
  for (const auto& one : cases) {
    const auto encoder = Load(one["fixture"]);
    ASSERT_NE(encoder, nullptr);
    const std::vector<int32_t> ids = one["ids"], types = one["types"];
    const TokenBatch::Text text = {.token_ids = ids, .token_types = types};
    ASSERT_TRUE(encoder->Validate(text, {}).ok()) << encoder->Validate(text, {});
    TokenBatch batch;
    batch.Add({.token_ids = ids});
    batch.Add(text);
    const auto results = encoder->Encode(batch, std::vector<EncodeOptions>(2));
    ASSERT_TRUE(results[1].ok()) << results[1].status();
    const std::vector<float> want = one["mean"];
    EXPECT_THAT(results[1]->vector, Pointwise(FloatNear(2e-5f), want)) << one["fixture"];
    EXPECT_THAT(results[0]->vector, ::testing::Not(Pointwise(FloatNear(1e-3f), want)));
  }
}

TEST(TokenTypes, AreChecked) {
  const auto bert = Load("bert");
  ASSERT_NE(bert, nullptr);
  const std::vector<int32_t> ids = {5, 6}, one_type = {0}, too_large = {0, 2};
  EXPECT_THAT(
      std::string(bert->Validate({.token_ids = ids, .token_types = too_large}, {}).message()),
      HasSubstr("token_types[1] is 2; allowed: 0 to 1"));
  EXPECT_THAT(
      std::string(bert->Validate({.token_ids = ids, .token_types = one_type}, {}).message()),
      HasSubstr("token_types has 1 values for 2 tokens"));
  const auto modernbert = Load("modernbert");
  ASSERT_NE(modernbert, nullptr);
  EXPECT_EQ(modernbert->Validate({.token_ids = ids, .token_types = too_large}, {}).code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace longspan
