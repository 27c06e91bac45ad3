#include "core/tools/inspect.h"

#include <gmock/gmock.h>

namespace longspan {
namespace {

using ::testing::HasSubstr;

TEST(ReceptiveField, WindowsAddUpLayerByLayer) {
  ModelInfo info;
  info.layers = {{.kind = AttentionKind::kSlidingWindow, .window = 2}, {.kind = AttentionKind::kSlidingWindow, .window = 4}};
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

TEST(AxialBytesSaved, FullTableMinusFactors) {
  const nlohmann::json config = {
      {"model_type", "reformer"}, {"axial_pos_shape", {512, 1024}}, {"axial_pos_embds_dim", {64, 192}}};
  EXPECT_EQ(AxialBytesSaved(config), (524288LL * 256 - 512 * 64 - 1024 * 192) * 4);
  EXPECT_EQ(AxialBytesSaved({{"model_type", "longformer"}}), 0);
  EXPECT_EQ(AxialBytesSaved({{"model_type", "reformer"}, {"axial_pos_embds", false}}), 0);
}

TEST(InspectModel, TellsLayersReachAndMemoryOfAFixture) {
  const auto inspection =
      InspectModel(std::string(LONGSPAN_FIXTURES) + "/longformer-windows", DataType::kFloat32, /*measure=*/false);
  ASSERT_TRUE(inspection.ok()) << inspection.status();
  EXPECT_EQ(inspection->at("architecture"), "longformer");
  EXPECT_EQ(inspection->at("max_tokens"), 101);
  EXPECT_EQ(inspection->at("layers").size(), 3u);
  EXPECT_EQ(inspection->at("layers")[2].at("reach").at("after"), 4 + 2 + 8);  // windows 8, 4, 16 in total
  EXPECT_THAT(InspectionText(*inspection), HasSubstr("sliding_window 4 each side"));
}

TEST(InspectModel, NamesAFolderThatIsNotThere) {
  const auto inspection = InspectModel("/nowhere/at/all", DataType::kFloat32, false);
  ASSERT_FALSE(inspection.ok());
  EXPECT_THAT(std::string(inspection.status().message()), HasSubstr("/nowhere/at/all"));
}

}  // namespace
}  // namespace longspan
