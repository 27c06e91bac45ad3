// A converted model's encoder: any length by repeated positions, long passes that pause and stop
// inside their layers, warm-up and what does not fit in memory.
#include <cmath>
#include <vector>

#include "core/cost_model.h"
#include "core/encoder.h"
#include "core/runtime/memory.h"
#include "tests/core/encoder_fixture.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// A converted model: any length by repeated positions.
class ConvertedEncoderTest : public EncoderTest {
 protected:
  void SetUp() override {
    config_["longspan"] = {
        {"dense_up_to", 16}, {"position_period", 15}, {"default_global_attention", "cls"}};
    Load();
  }
};

TEST_F(ConvertedEncoderTest, Info_SaysHowTextsAreTreated) {
  const ModelInfo& info = encoder_->info();
  EXPECT_EQ(info.max_tokens, 0);
  EXPECT_EQ(info.dense_up_to, 16);
  EXPECT_EQ(info.default_global_attention, GlobalAttention::kCls);
  EXPECT_THAT(ResolveGlobalPositions(info, std::nullopt, {}, 16), IsEmpty());
  EXPECT_THAT(ResolveGlobalPositions(info, std::nullopt, {}, 17), ElementsAre(0));
  EXPECT_THAT(ResolveGlobalPositions(info, GlobalAttention::kCls, {}, 3), ElementsAre(0));
  EXPECT_THAT(ResolveGlobalPositions(info, GlobalAttention::kNone, {}, 99), IsEmpty());
  const std::vector<int32_t> positions = {2, 5};
  EXPECT_THAT(ResolveGlobalPositions(info, GlobalAttention::kPositions, positions, 99),
              ElementsAre(2, 5));
}

TEST_F(ConvertedEncoderTest, ShortTexts_SeeAllOfThemselves) {
  const std::vector<int32_t> ids16 = FormulaIds(0, 16, 3, 40), ids17 = FormulaIds(0, 17, 3, 40);
  const std::vector<float> dense16 = Encode(ids16).vector, banded17 = Encode(ids17).vector;
  config_.erase("longspan");
  config_["attention_window"] = 128;  // sees everything
  Load();
  ExpectNear(dense16, Encode(ids16).vector);
  const std::vector<float> full17 = Encode(ids17).vector;
  EXPECT_GT(std::abs(banded17[0] - full17[0]) + std::abs(banded17[1] - full17[1]), 1e-3f);
}

// With a period of 15 and tokens that repeat likewise, what lies beyond a window's reach of both
// ends repeats too.
TEST_F(ConvertedEncoderTest, Positions_RepeatForEver) {
  std::vector<int32_t> ids = {7};
  for (int i = 0; i < 150; ++i) ids.push_back(10 + i % 15);
  const auto rows = TokenRows(ids);
  ASSERT_EQ(rows.size(), 151u);
  ExpectNear(rows[40], rows[55]);
  ExpectNear(rows[40], rows[100]);
  EXPECT_GT(std::abs(rows[40][0] - rows[41][0]), 1e-3f);
}

TEST_F(ConvertedEncoderTest, OutOfMemory_IsResourceExhausted_AndThePassLater_Works) {
  std::vector<int32_t> ids(60000, 9);
  TokenBatch batch;
  batch.Add({.token_ids = ids});
  TrimMemory();
  SetMemoryBudget(GetMemoryStats().live_bytes + (4 << 20));
  const auto refused = encoder_->Encode(batch, std::vector<EncodeOptions>(1));
  SetMemoryBudget(0);
  EXPECT_EQ(refused[0].status().code(), absl::StatusCode::kResourceExhausted)
      << refused[0].status();
  EXPECT_EQ(Encode(ids).vector.size(), 24u);
}

TEST_F(ConvertedEncoderTest, WarmUp_TellsThatTheLargestBatchDoesNotFit) {
  ASSERT_TRUE(encoder_->WarmUp().ok());
  TrimMemory();
  SetMemoryBudget(GetMemoryStats().live_bytes + (4 << 20));
  const absl::Status small = encoder_->WarmUp();
  const absl::Status large = encoder_->WarmUp(60000);
  SetMemoryBudget(0);
  EXPECT_TRUE(small.ok()) << small;
  EXPECT_EQ(large.code(), absl::StatusCode::kResourceExhausted) << large;
  EXPECT_TRUE(encoder_->WarmUp(60000).ok());
}

// A long pass has seams inside its layers too: whoever listens may run other passes there, and a
// pass that nobody wants ends there.
TEST_F(ConvertedEncoderTest, LongPass_PausesInsideItsLayers_AndIsTheSame) {
  const std::vector<int32_t> ids(40000, 9);
  TokenBatch batch;
  batch.Add({.token_ids = ids});
  const std::vector<float> expected = Encode(ids).vector;
  const std::vector<int32_t> short_ids = FormulaIds(1, 30, 3, 40);
  const std::vector<float> short_expected = Encode(short_ids).vector;
  int seams = 0;
  const EncodeControl control{.at_seam = [&] {
    ++seams;
    ExpectNear(Encode(short_ids).vector, short_expected);  // another pass inside this one
  }};
  const auto results = encoder_->Encode(batch, std::vector<EncodeOptions>(1), control);
  ASSERT_TRUE(results[0].ok()) << results[0].status();
  ExpectNear(results[0]->vector, expected);
  // Two layers, each with the blocks of its projections and those of its feed-forward part.
  EXPECT_GT(seams, 2 * 2 * (40000 / 2048));
}

TEST_F(ConvertedEncoderTest, LongPass_DroppedInsideALayer_DoesNoMore) {
  const std::vector<int32_t> ids(40000, 9);
  TokenBatch batch;
  batch.Add({.token_ids = ids});
  // In the projections, in the attention, in the feed-forward part, in layer two.
  for (const int last : {1, 2, 10, 19, 20, 21, 22, 30, 40}) {
    int asked = 0;
    const EncodeControl control{.is_dropped = [&](int32_t) { return ++asked > last; }};
    EXPECT_EQ(encoder_->Encode(batch, std::vector<EncodeOptions>(1), control)[0].status().code(),
              absl::StatusCode::kCancelled);
    EXPECT_EQ(asked, last + 1);
  }
}

TEST_F(ConvertedEncoderTest, WarmUp_CalibratesTheCostModel) {
  const double before = encoder_->cost_model().TextSeconds(1000);
  ASSERT_TRUE(encoder_->WarmUp().ok());
  const double after = encoder_->cost_model().TextSeconds(1000);
  EXPECT_NE(before, after);
  EXPECT_GT(after, 0);
  EXPECT_LT(after, 10);
}

}  // namespace
}  // namespace longspan
