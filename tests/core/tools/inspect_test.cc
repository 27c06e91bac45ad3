#include "core/tools/inspect.h"

#include <gmock/gmock.h>

namespace longspan {
namespace {

using ::testing::HasSubstr;

TEST(ReceptiveField, WindowsAddUpLayerByLayer) {
  ModelInfo info;
  info.layers = {{.kind = AttentionKind::kSlidingWindow, .window = 2},
                 {.kind = AttentionKind::kSlidingWindow, .window = 4}};
  const auto field = ReceptiveField(info);
  ASSERT_EQ(field.size(), 2u);
  EXPECT_EQ(field[0].before, 2);
  EXPECT_EQ(field[1].before, 6);
  EXPECT_EQ(field[1].after, 6);
}

TEST(ReceptiveField, ChunksReachToTheFarEndAndCausalModelsSeeNothingAhead) {
  ModelInfo info;
  info.layers = {{.kind = AttentionKind::kLocalChunk, .chunk_length = 64, .chunks_before = 1}};
  EXPECT_EQ(ReceptiveField(info)[0].before, 127);
  EXPECT_EQ(ReceptiveField(info)[0].after, 63);
  info.is_causal = true;
  EXPECT_EQ(ReceptiveField(info)[0].after, 0);
}

TEST(ReceptiveField, OneLayerThatSeesEverythingIsEnough) {
  ModelInfo info;
  info.layers = {{.kind = AttentionKind::kSlidingWindow, .window = 2},
                 {.kind = AttentionKind::kLsh, .chunk_length = 8},
                 {.kind = AttentionKind::kSlidingWindow, .window = 2}};
  const auto field = ReceptiveField(info);
  EXPECT_EQ(field[0].before, 2);
  EXPECT_EQ(field[1].before, -1);
  EXPECT_EQ(field[2].before, -1);
}

TEST(ReceptiveField, BigBirdSeesItsNeighboursAndTheEndsFirstAndEverythingThroughThemThen) {
  ModelInfo info;
  info.layers.assign(3,
                     {.kind = AttentionKind::kBlockSparse, .chunk_length = 64, .random_blocks = 3});
  const auto field = ReceptiveField(info);
  EXPECT_EQ(field[0].before, 127);
  EXPECT_EQ(field[0].after, 127);
  EXPECT_TRUE(field[0].ends);
  EXPECT_EQ(field[1].before, -1);
  EXPECT_EQ(field[2].after, -1);
  EXPECT_FALSE(field[1].ends) << "said by everything";
}

TEST(KeysSeen, ByKindOfLayer) {
  ModelInfo info;
  info.num_hashes = 4;
  EXPECT_EQ(KeysSeen({.kind = AttentionKind::kSlidingWindow, .window = 256}, info), 513);
  EXPECT_EQ(
      KeysSeen({.kind = AttentionKind::kBlockSparse, .chunk_length = 64, .random_blocks = 3}, info),
      320);
  EXPECT_EQ(
      KeysSeen({.kind = AttentionKind::kLocalChunk, .chunk_length = 64, .chunks_before = 1}, info),
      128);
  EXPECT_EQ(
      KeysSeen(
          {.kind = AttentionKind::kLsh, .chunk_length = 64, .chunks_before = 1, .chunks_after = 1},
          info),
      4 * 192);
  EXPECT_EQ(KeysSeen({.kind = AttentionKind::kDense}, info), -1);
}

TEST(AxialBytesSaved, FullTableMinusFactors) {
  const nlohmann::json config = {{"model_type", "reformer"},
                                 {"axial_pos_shape", {512, 1024}},
                                 {"axial_pos_embds_dim", {64, 192}}};
  EXPECT_EQ(AxialBytesSaved(config), (524288LL * 256 - 512 * 64 - 1024 * 192) * 4);
  EXPECT_EQ(AxialBytesSaved({{"model_type", "longformer"}}), 0);
  EXPECT_EQ(AxialBytesSaved({{"model_type", "reformer"}, {"axial_pos_embds", false}}), 0);
}

TEST(InspectModel, TellsLayersReachAndMemoryOfAFixture) {
  const auto inspection = InspectModel(std::string(LONGSPAN_FIXTURES) + "/longformer-windows",
                                       "float32", /*measure=*/false);
  ASSERT_TRUE(inspection.ok()) << inspection.status();
  EXPECT_EQ(inspection->at("architecture"), "longformer");
  EXPECT_EQ(inspection->at("max_tokens"), 101);
  EXPECT_EQ(inspection->at("layers").size(), 3u);
  // The windows are 8, 4 and 16 tokens on both sides together.
  EXPECT_EQ(inspection->at("layers")[2].at("reach").at("after"), 4 + 2 + 8);
  EXPECT_THAT(InspectionText(*inspection), HasSubstr("sliding_window 4 each side"));
  // The model's longest text, then 4K, 64K and 512K, which it does not take.
  ASSERT_EQ(inspection->at("lengths").size(), 4u);
  EXPECT_EQ(inspection->at("lengths")[0].at("tokens"), 101);
  EXPECT_EQ(inspection->at("lengths")[0].at("total_bytes").get<int64_t>(),
            inspection->at("lengths")[0].at("activation_bytes").get<int64_t>() +
                inspection->at("weight_bytes").get<int64_t>());
  EXPECT_EQ(inspection->at("lengths")[3].at("tokens"), 524288);
  EXPECT_FALSE(inspection->at("lengths")[3].at("allowed").get<bool>());
  EXPECT_THAT(InspectionText(*inspection), HasSubstr("524288 tokens  more than this model takes"));
}

TEST(InspectModel, PredictsSpeedAndMemoryAtAllLengthsOfTheEmbeddedModel) {
  const auto inspection = InspectModel(LONGSPAN_EMBEDDED_MODEL, "auto", /*measure=*/true);
  ASSERT_TRUE(inspection.ok()) << inspection.status();
  ASSERT_EQ(inspection->at("lengths").size(), 3u);
  for (const auto& length : inspection->at("lengths")) {
    EXPECT_GT(length.at("predicted_tokens_per_second").get<double>(), 0);
    EXPECT_GT(length.at("activation_bytes").get<int64_t>(), length.at("tokens").get<int64_t>() * 4);
  }
  EXPECT_NE(inspection->at("dtype"), "auto") << "the type in force is told";
  EXPECT_THAT(InspectionText(*inspection), HasSubstr("calibrated just now"));
}

TEST(InspectModel, OnADevice) {
  const std::string folder = std::string(LONGSPAN_FIXTURES) + "/longformer-windows";
  EXPECT_EQ(InspectModel(folder, "float32", /*measure=*/false)->at("device"), "cpu");
  const absl::Status missing = InspectModel(folder, "float32", false, "cuda").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(InspectModel(folder, "float32", false, "tpu").status().message(),
            "device is 'tpu'; allowed: cpu, cuda, cuda:N, auto");
  EXPECT_EQ(InspectModel(folder, "float32", false, "auto")->at("device"), "cpu");
}

TEST(InspectModel, TellsAxialSavingsAndLshOfAReformer) {
  const auto inspection = InspectModel(std::string(LONGSPAN_FIXTURES) + "/reformer-mixed",
                                       "float32", /*measure=*/false);
  ASSERT_TRUE(inspection.ok()) << inspection.status();
  EXPECT_EQ(inspection->at("layers")[1].at("kind"), "lsh");
  EXPECT_EQ(inspection->at("layers")[1].at("keys_seen"), 3 * 16);
  EXPECT_EQ(inspection->at("layers")[1].at("reach").at("before"), -1);
  EXPECT_GT(inspection->at("axial_bytes_saved").get<int64_t>(), 0);
  EXPECT_THAT(InspectionText(*inspection), HasSubstr("sees 48,    reach all"));
}

TEST(InspectModel, NamesAFolderThatIsNotThere) {
  const auto inspection = InspectModel("/nowhere/at/all", "float32", false);
  ASSERT_FALSE(inspection.ok());
  EXPECT_THAT(std::string(inspection.status().message()), HasSubstr("/nowhere/at/all"));
}

}  // namespace
}  // namespace longspan
