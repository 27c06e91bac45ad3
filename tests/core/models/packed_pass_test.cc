// The layouts that a pass gives on a backend, before and after texts have left.
#include "core/models/packed_pass.h"

#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>

#include <set>

#include "core/backend/portable_backend.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;

class PackedPassTest : public testing::Test {
 protected:
  PackedPassTest() {
    options_.is_dropped = [this](int32_t text) { return dropped_.contains(text); };
    for (const int64_t length : {3, 5, 4}) {
      const std::vector<int32_t> ids(length, 7), globals = {1};
      std::vector<uint8_t> mask(length, 1);
      mask.back() = 0;
      batch_.Add({.token_ids = ids, .global_positions = globals, .attention_mask = mask});
    }
  }
  void Drop(PackedPass& pass, int32_t text) {
    dropped_.insert(text);
    at::Tensor rows = at::zeros({pass.num_rows(), 2});
    ASSERT_TRUE(pass.DropTexts(rows).ok());
    ASSERT_EQ(rows.size(0), pass.num_rows());
  }

  const PortableBackend backend_{at::Device(at::kCPU)};
  const Placement placement_{DataType::kFloat32, &backend_};
  TokenBatch batch_;
  ForwardOptions options_;
  std::set<int32_t> dropped_;
};

TEST_F(PackedPassTest, OnTheCpu_NothingIsUploaded) {
  PackedPass pass(batch_, options_);
  EXPECT_EQ(pass.Layout(2).device, nullptr);
  EXPECT_EQ(pass.Part(0, 2, 2).device, nullptr);
  PackedLayout layout = pass.Layout(2);
  pass.Place(layout);
  EXPECT_EQ(layout.device, nullptr);
}

TEST_F(PackedPassTest, EachKindOfLayout_IsUploadedOnce) {
  PackedPass pass(batch_, options_, placement_);
  const DeviceLayout* const narrow = pass.Layout(1).device;
  const DeviceLayout* const wide = pass.Layout(3).device;
  EXPECT_NE(narrow, wide);
  EXPECT_NE(pass.Layout(1, /*dense_up_to=*/4).device, narrow);
  EXPECT_EQ(pass.Layout(1).device, narrow);
  EXPECT_EQ(pass.Layout(3).device, wide);
  EXPECT_EQ(wide->positions.data_ptr(), narrow->positions.data_ptr()) << "shared";
}

TEST_F(PackedPassTest, AfterTextsHaveLeft_LayoutsAreThoseOfTheRest) {
  PackedPass pass(batch_, options_, placement_);
  EXPECT_THAT(pass.Layout(1).device->runs[0].cu_seqlens, ElementsAre(0, 3, 8, 12));
  EXPECT_THAT(pass.Part(0, 1, 1).device->runs[0].cu_seqlens, ElementsAre(0, 3));
  Drop(pass, 0);
  EXPECT_THAT(pass.Part(0, 1, 1).device->runs[0].cu_seqlens, ElementsAre(0, 5));
  const DeviceLayout& rest = *pass.Layout(1).device;
  EXPECT_THAT(rest.runs[0].cu_seqlens, ElementsAre(0, 5, 9));
  EXPECT_THAT(rest.runs[0].globals, ElementsAre(1, 6));
  EXPECT_EQ(rest.read.size(0), 9);
}

TEST_F(PackedPassTest, APart_HasNoGlobals_AndCountsFromItsFirstRow) {
  PackedPass pass(batch_, options_, placement_);
  const PackedLayout part = pass.Part(1, 3, 1);
  EXPECT_THAT(part.device->runs[0].cu_seqlens, ElementsAre(0, 5, 9));
  EXPECT_TRUE(part.device->texts_with_globals.empty());
  EXPECT_EQ(part.key_mask.size(), 9u);
  EXPECT_EQ(part.key_mask[4], 0);
  // The same texts with their globals are another layout.
  EXPECT_EQ(pass.Part(0, 3, 1).device->texts_with_globals.size(), 0u);
  EXPECT_EQ(pass.Layout(1).device->texts_with_globals.size(), 3u);
}

TEST_F(PackedPassTest, Place_UploadsWhatTheCallerHasChanged) {
  PackedPass pass(batch_, options_, placement_);
  PackedLayout layout = pass.Layout(1);
  const std::vector<int32_t> globals = {3}, cu_globals = {0, 0, 1, 1};
  layout.globals = globals;
  layout.cu_globals = cu_globals;
  pass.Place(layout);
  ASSERT_EQ(layout.device->texts_with_globals.size(), 1u);
  EXPECT_EQ(layout.device->texts_with_globals[0].row_begin, 3);
}

// Observers are told by the kernels of the CPU.
TEST_F(PackedPassTest, AttentionOnABackend_CannotBeObserved) {
  options_.observe_attention = reinterpret_cast<AttentionObserver*>(this);
  EXPECT_THROW(PackedPass(batch_, options_, placement_), c10::Error);
}

}  // namespace
}  // namespace longspan
