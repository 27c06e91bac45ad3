// EncoderTest: an encoder over a tiny Longformer whose weights follow a formula
// (tests/golden/checkpoints.h). A test may change its files and load it again.
#pragma once

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/encoder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/golden/checkpoints.h"

namespace longspan {

inline constexpr float kTolerance = 2e-6f;

inline void ExpectNear(const std::vector<float>& got, const std::vector<float>& want,
                       float tolerance = kTolerance) {
  ASSERT_EQ(got.size(), want.size());
  size_t worst = 0;
  std::string all;  // of a fault that comes once in hundreds of runs, one report has to be enough
  for (size_t i = 0; i < got.size(); ++i) {
    const float largest = std::abs(got[worst] - want[worst]);
    // A NaN is worse than every number, and stays.
    if (!std::isnan(largest) && !(std::abs(got[i] - want[i]) <= largest)) worst = i;
    absl::StrAppend(&all, " ", (got[i] - want[i]) * 1e6f);
  }
  if (got.empty()) return;
  ASSERT_NEAR(got[worst], want[worst], tolerance)
      << "value " << worst << "; all differences, in millionths:" << all;
}

class EncoderTest : public testing::Test {
 protected:
  EncoderTest() : checkpoint_(0.4, kBertNorms), config_(LongformerConfigJson()) {
    AddBertWeights(checkpoint_, {}, /*global_projections=*/true);
  }
  void SetUp() override { Load(); }

  absl::Status TryLoad(const EncoderOptions& options = {}) {
    auto encoder = Encoder::Load(checkpoint_.Write(config_), options);
    if (!encoder.ok()) return encoder.status();
    encoder_ = *std::move(encoder);
    return absl::OkStatus();
  }
  void Load() {
    const absl::Status status = TryLoad();
    ASSERT_TRUE(status.ok()) << status;
  }
  // Writes a file of the sentence-transformers layout around the model.
  void Write(const std::string& name, const nlohmann::json& json) {
    checkpoint_.folder().WriteText(name, json.dump());
  }

  EncodedText Encode(const std::vector<int32_t>& ids, const EncodeOptions& options = {},
                     const std::vector<int32_t>& globals = {}) {
    TokenBatch batch;
    batch.Add({.token_ids = ids, .global_positions = globals});
    auto results = encoder_->Encode(batch, {&options, 1});
    EXPECT_TRUE(results[0].ok()) << results[0].status();
    return results[0].ok() ? *results[0] : EncodedText{};
  }
  // The token vectors that token_sink receives.
  std::vector<std::vector<float>> TokenRows(const std::vector<int32_t>& ids) {
    std::vector<std::vector<float>> rows;
    EncodeOptions options{.document_vector = false};
    options.token_sink = [&](int64_t first, int64_t count, const float* values) {
      EXPECT_EQ(first, static_cast<int64_t>(rows.size()));
      for (int64_t i = 0; i < count; ++i) rows.emplace_back(values + i * 24, values + (i + 1) * 24);
    };
    Encode(ids, options);
    return rows;
  }

  FormulaCheckpoint checkpoint_;
  nlohmann::json config_;
  std::unique_ptr<Encoder> encoder_;
};

}  // namespace longspan
