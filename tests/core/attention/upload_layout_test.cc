#include "core/attention/upload_layout.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gmock/gmock.h>

#include "core/backend/portable_backend.h"
#include "tests/core/backend/packed_texts.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kAll = kernels::kUnlimitedWindow;
const PortableBackend kBackend{at::Device(at::kCPU)};

DeviceLayout Upload(const std::vector<PackedText>& texts) {
  const PackedTexts packed(texts);
  return UploadLayout(kBackend, packed.Layout());
}

// The rows of each run and its window.
std::vector<std::vector<int64_t>> RunsOf(const std::vector<PackedText>& texts) {
  std::vector<std::vector<int64_t>> runs;
  for (const WindowRun& run : Upload(texts).runs)
    runs.push_back({run.row_begin, run.row_end, run.window == kAll ? -1 : run.window});
  return runs;
}

TEST(UploadLayout, OneRun_WhereOneWindowServesAll) {
  EXPECT_THAT(RunsOf({{9, 2}, {7, 2}, {2, kAll}, {3, 2}}), ElementsAre(ElementsAre(0, 21, 2)));
  EXPECT_THAT(RunsOf({{2, kAll}, {9, 2}}), ElementsAre(ElementsAre(0, 11, 2)));
  EXPECT_THAT(RunsOf({{1, 5}, {6, 5}}), ElementsAre(ElementsAre(0, 7, -1))) << "all see all";
}

TEST(UploadLayout, AnotherRun_WhereNoneDoes) {
  EXPECT_THAT(RunsOf({{9, 2}, {4, kAll}, {8, 2}}),
              ElementsAre(ElementsAre(0, 9, 2), ElementsAre(9, 13, -1), ElementsAre(13, 21, 2)));
  EXPECT_THAT(RunsOf({{9, 2}, {9, 3}}), ElementsAre(ElementsAre(0, 9, 2), ElementsAre(9, 18, 3)));
  EXPECT_THAT(RunsOf({{5, kAll}, {9, 3}}),
              ElementsAre(ElementsAre(0, 5, -1), ElementsAre(5, 14, 3)));
}

TEST(UploadLayout, Seams_AndPlaces) {
  const DeviceLayout layout = Upload({{3, 1}, {1, 1}, {4, 1}});
  ASSERT_EQ(layout.runs.size(), 1u);
  EXPECT_THAT(layout.runs[0].cu_seqlens, ElementsAre(0, 3, 4, 8));
  EXPECT_EQ(layout.runs[0].longest, 4);
  EXPECT_TRUE(at::equal(layout.positions, at::tensor({0, 1, 2, 0, 0, 1, 2, 3}, at::kLong)));
  EXPECT_FALSE(layout.read.defined());
  EXPECT_FALSE(layout.globals.defined());
}

TEST(UploadLayout, OnlyGlobalsBeyondWindows_AreColumns) {
  const DeviceLayout layout = Upload({{9, 4, {4}}, {10, 4, {4}}, {9, 4, {3}}, {9, 4}, {5, 4, {0}}});
  ASSERT_EQ(layout.runs.size(), 1u);
  const WindowRun& run = layout.runs[0];
  EXPECT_THAT(run.globals, ElementsAre(4, 13, 22, 37));
  ASSERT_EQ(run.with_columns.size(), 2u);  // the second text and the third
  EXPECT_EQ(run.with_columns[0].row_begin, 9);
  EXPECT_EQ(run.with_columns[0].global_begin, 1);
  EXPECT_EQ(run.with_columns[1].row_begin, 19);
  EXPECT_TRUE(at::equal(run.cu_globals_on_device, at::tensor({0, 1, 2, 3, 3, 4}, at::kInt)));
  EXPECT_EQ(layout.texts_with_globals.size(), 4u);
}

TEST(UploadLayout, GlobalsOfALaterRun_CountFromIt) {
  const DeviceLayout layout = Upload({{9, 2, {8}}, {9, 3, {1, 8}}});
  ASSERT_EQ(layout.runs.size(), 2u);
  EXPECT_THAT(layout.runs[0].globals, ElementsAre(8));
  EXPECT_THAT(layout.runs[1].globals, ElementsAre(1, 8));
  EXPECT_TRUE(at::equal(layout.globals, at::tensor({8, 10, 17}, at::kLong)));
}

TEST(UploadLayout, AMaskWithoutHoles_IsNone_AndAHoleIsNoGlobal) {
  EXPECT_FALSE(Upload({{3, 1, {0}, {1, 1, 1}}}).read.defined());
  const DeviceLayout layout = Upload({{3, 1, {0, 1}, {0, 1, 1}}, {9, 2}});
  EXPECT_TRUE(layout.read.defined());
  EXPECT_TRUE(at::equal(layout.globals, at::tensor({1}, at::kLong)));
  ASSERT_EQ(layout.runs.size(), 2u);
  EXPECT_TRUE(layout.runs[0].read.defined());
  EXPECT_FALSE(layout.runs[1].read.defined()) << "no hole in its rows";
}

TEST(UploadLayout, OtherWindowsOfTheSameTexts_ShareWhatDoesNotDependOnThem) {
  const PackedTexts one({{9, 2, {1}}, {4, 2}}), other({{9, 3, {1}}, {4, 3}});
  const DeviceLayout first = UploadLayout(kBackend, one.Layout());
  const DeviceLayout second = UploadLayout(kBackend, other.Layout(), &first);
  EXPECT_EQ(second.positions.data_ptr(), first.positions.data_ptr());
  EXPECT_EQ(second.globals.data_ptr(), first.globals.data_ptr());
  EXPECT_EQ(second.runs[0].window, 3);
}

class PreparingBackend : public PortableBackend {
 public:
  PreparingBackend() : PortableBackend(at::Device(at::kCPU)) {}
  void Prepare(WindowRun& run) const override { run.prepared = at::tensor(run.cu_seqlens); }
};

TEST(UploadLayout, EachRun_IsPreparedForTheBackend) {
  const PreparingBackend backend;
  const PackedTexts texts({{9, 2}, {9, 3}});
  for (const WindowRun& run : UploadLayout(backend, texts.Layout()).runs)
    EXPECT_EQ(run.prepared.numel(), 2);
}

}  // namespace
}  // namespace longspan
