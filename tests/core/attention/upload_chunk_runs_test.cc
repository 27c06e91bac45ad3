#include "core/attention/upload_chunk_runs.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>

#include "core/backend/portable_backend.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;

const PortableBackend kBackend{at::Device(at::kCPU)};
const ChunkShape kShape{.chunk_length = 64, .chunks_before = 1};

std::vector<ChunkedText> Packed(const std::vector<int32_t>& lengths) {
  std::vector<ChunkedText> texts;
  int64_t row = 0;
  for (const int32_t length : lengths) {
    texts.push_back({row, length});
    row += length;
  }
  return texts;
}

DeviceRotations Rotations(int32_t rounds, int32_t factor) {
  return {rounds, {factor}, at::tensor({static_cast<float>(factor)})};
}

// The rows of each run and its rounds.
std::vector<std::vector<int64_t>> Shown(const std::vector<ChunkRun>& runs) {
  std::vector<std::vector<int64_t>> shown;
  for (const ChunkRun& run : runs) shown.push_back({run.row_begin, run.row_end, run.num_rounds});
  return shown;
}

TEST(UploadChunkRuns, TextsOfALocalLayer_ShareARun) {
  const std::vector<ChunkRun> runs =
      UploadChunkRuns(kBackend, kShape, Packed({128, 7, 64, 192}), {});
  EXPECT_THAT(Shown(runs), ElementsAre(ElementsAre(0, 391, 1)));
  EXPECT_THAT(runs[0].text_begin, ElementsAre(0, 128, 135, 199, 391));
  EXPECT_TRUE(at::equal(runs[0].text_begin_on_device, at::tensor(runs[0].text_begin)));
  EXPECT_EQ(runs[0].num_texts(), 4);
  EXPECT_EQ(runs[0].shape.chunks_before, 1);
  EXPECT_TRUE(runs[0].factors.empty());
  EXPECT_FALSE(runs[0].read.defined());
}

// The example of chunk_run.h.
TEST(UploadChunkRuns, NeighboursWithTheSameRotations_ShareARun_AndShortTextsJoinIt) {
  const DeviceRotations four = Rotations(1, 4), eight = Rotations(3, 8);
  const std::vector<ChunkRun> runs =
      UploadChunkRuns(kBackend, kShape, Packed({40, 128, 128, 30, 256}), {},
                      std::vector<const DeviceRotations*>{nullptr, &four, &four, nullptr, &eight});
  EXPECT_THAT(Shown(runs), ElementsAre(ElementsAre(0, 326, 1), ElementsAre(326, 582, 3)));
  EXPECT_THAT(runs[0].factors, ElementsAre(4));
  EXPECT_THAT(runs[1].factors, ElementsAre(8));
  EXPECT_THAT(runs[1].text_begin, ElementsAre(0, 256));
  EXPECT_TRUE(at::equal(runs[1].rotations, eight.values));
}

TEST(UploadChunkRuns, ShortTextsAlone_AreARunThatHashesNothing) {
  const std::vector<ChunkRun> runs = UploadChunkRuns(
      kBackend, kShape, Packed({64, 1}), {}, std::vector<const DeviceRotations*>{nullptr, nullptr});
  EXPECT_THAT(Shown(runs), ElementsAre(ElementsAre(0, 65, 1)));
  EXPECT_TRUE(runs[0].factors.empty());
  EXPECT_FALSE(runs[0].rotations.defined());
}

TEST(UploadChunkRuns, EachRun_HasTheMaskOfItsRows) {
  const DeviceRotations four = Rotations(1, 4), eight = Rotations(1, 8);
  std::vector<uint8_t> mask(384, 1);
  mask[100] = mask[130] = 0;
  const std::vector<ChunkRun> runs =
      UploadChunkRuns(kBackend, kShape, Packed({128, 256}), at::tensor(mask).ne(0),
                      std::vector<const DeviceRotations*>{&four, &eight});
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_FALSE(runs[0].read[100].item<bool>());
  EXPECT_EQ(runs[1].read.size(0), 256);
  EXPECT_FALSE(runs[1].read[2].item<bool>());
}

TEST(UploadChunkRuns, LengthsThatDoNotFit_AreRefused) {
  const DeviceRotations four = Rotations(1, 4);
  const auto upload = [&](const std::vector<ChunkedText>& texts,
                          const std::vector<const DeviceRotations*>& rotations) {
    UploadChunkRuns(kBackend, kShape, texts, {}, rotations);
  };
  EXPECT_THROW(upload(Packed({100}), {&four}), c10::Error) << "no whole chunks";
  EXPECT_THROW(upload(Packed({0}), {nullptr}), c10::Error);
  EXPECT_THROW(upload(Packed({128}), {nullptr}), c10::Error) << "hashed without rotations";
  EXPECT_THROW(upload(Packed({64}), {&four}), c10::Error) << "one chunk is not hashed";
  EXPECT_THROW(upload({{0, 64}, {128, 64}}, {nullptr, nullptr}), c10::Error) << "a gap";
  EXPECT_NO_THROW(upload(Packed({64, 128}), {nullptr, &four}));
}

class PreparingBackend : public PortableBackend {
 public:
  PreparingBackend() : PortableBackend(at::Device(at::kCPU)) {}
  void PrepareChunks(ChunkRun& run) const override {
    run.prepared.push_back(run.text_begin_on_device);
  }
};

TEST(UploadChunkRuns, EachRun_IsPreparedForTheBackend) {
  const DeviceRotations four = Rotations(1, 4), eight = Rotations(1, 8);
  const PreparingBackend backend;
  for (const ChunkRun& run : UploadChunkRuns(backend, kShape, Packed({128, 128}), {},
                                             std::vector<const DeviceRotations*>{&four, &eight})) {
    ASSERT_EQ(run.prepared.size(), 1u);
    EXPECT_EQ(run.prepared[0].numel(), 2);
  }
}

}  // namespace
}  // namespace longspan
