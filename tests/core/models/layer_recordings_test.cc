// When layers are recorded and when they are not, with layers that are a sum. That recordings are
// right for whole models: recorded_models_test.
#include "core/models/layer_recordings.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include "tests/core/backend/recording_backend.h"

namespace longspan {
namespace {

class LayerRecordingsTest : public testing::Test {
 protected:
  // A run over one text of so many tokens. The layers add 10 and an upload to each row.
  std::optional<at::Tensor> TryRun(int64_t tokens, float value = 1) {
    TokenBatch batch;
    const std::vector<int32_t> ids(tokens, 7);
    batch.Add({.token_ids = ids});
    const ForwardOptions options;
    const PackedPass pass(batch, options, placement_);
    const at::Tensor x = at::full({tokens, 2}, value);
    std::optional<at::Tensor> out =
        recordings_.TryRun(pass, x, [this](PackedPass& same, at::Tensor rows) {
          ++runs_;
          rows.add_(10);  // as layers may
          return rows + backend_.Upload(at::full({2}, static_cast<double>(same.num_rows())));
        });
    EXPECT_TRUE(at::equal(x, at::full({tokens, 2}, value))) << "the caller's rows";
    if (out.has_value()) {
      EXPECT_TRUE(at::equal(*out, at::full({tokens, 2}, value + 10 + static_cast<float>(tokens))));
    }
    return out;
  }

  RecordingBackend backend_;
  const Placement placement_{DataType::kFloat32, &backend_};
  LayerRecordings recordings_{placement_};
  int runs_ = 0;
};

TEST_F(LayerRecordingsTest, AShape_IsRecordedAtItsSecondTime_AndRepeatedFromTheThirdOn) {
  EXPECT_FALSE(TryRun(5).has_value());
  EXPECT_EQ(runs_, 0);
  EXPECT_TRUE(TryRun(5).has_value());
  EXPECT_EQ(recordings_.counts().recorded, 1);
  EXPECT_EQ(recordings_.counts().repeated, 0);
  const int copies = backend_.copies;
  EXPECT_TRUE(TryRun(5, 3).has_value());
  EXPECT_TRUE(TryRun(5, 4).has_value());
  EXPECT_EQ(recordings_.counts().repeated, 2);
  EXPECT_EQ(backend_.recorded, 1);
  EXPECT_EQ(backend_.copies, copies + 2) << "by the double alone: a device reads what is there";
  EXPECT_FALSE(TryRun(6).has_value()) << "another shape";
}

TEST_F(LayerRecordingsTest, LargePasses_AreNotRecorded) {
  for (int time = 0; time < 3; ++time) {
    EXPECT_FALSE(TryRun(LayerRecordings::kMostRows + 1).has_value());
    EXPECT_EQ(TryRun(LayerRecordings::kMostRows).has_value(), time > 0);
  }
}

TEST_F(LayerRecordingsTest, WhatCannotBeRecorded_RunsByItsOperations) {
  backend_.refuse = true;
  EXPECT_FALSE(TryRun(5).has_value());
  EXPECT_TRUE(TryRun(5).has_value()) << "what was computed before is not lost";
  backend_.refuse = false;
  EXPECT_FALSE(TryRun(5).has_value());
  EXPECT_EQ(recordings_.counts().refused, 1);
  EXPECT_EQ(backend_.recorded, 0);
}

TEST_F(LayerRecordingsTest, ARecordingThatGivesOtherRows_IsNeverUsed) {
  backend_.spoil = true;
  EXPECT_FALSE(TryRun(5).has_value());
  EXPECT_TRUE(TryRun(5).has_value());
  for (int time = 0; time < 2; ++time) EXPECT_FALSE(TryRun(5).has_value());
  EXPECT_EQ(recordings_.counts().refused, 1);
  EXPECT_EQ(recordings_.counts().recorded, 0);
}

TEST_F(LayerRecordingsTest, TheOnesThatAreUsed_AreKept) {
  constexpr auto kShapes = static_cast<int64_t>(LayerRecordings::kMostRecordings);
  for (int64_t tokens = 1; tokens <= kShapes + 1; ++tokens) {
    TryRun(tokens);
    TryRun(tokens);
    TryRun(1);  // always in use
  }
  const auto before = recordings_.counts();
  EXPECT_EQ(before.recorded, kShapes + 1);
  TryRun(1);
  TryRun(kShapes + 1);
  EXPECT_EQ(recordings_.counts().repeated, before.repeated + 2);
  TryRun(2);  // the oldest: its recording is gone, and made anew at once
  EXPECT_EQ(recordings_.counts().recorded, before.recorded + 1);
  EXPECT_EQ(recordings_.counts().repeated, before.repeated + 2);
}

TEST_F(LayerRecordingsTest, ShapesThatComeOnce_AreForgotten) {
  TryRun(1);
  for (int64_t tokens = 2; tokens <= 1 + static_cast<int64_t>(LayerRecordings::kMostShapes);
       ++tokens)
    TryRun(tokens);
  EXPECT_FALSE(TryRun(1).has_value());
  EXPECT_TRUE(TryRun(1).has_value());
}

TEST_F(LayerRecordingsTest, Clear_GivesAllBack) {
  TryRun(5);
  TryRun(5);
  recordings_.Clear();
  EXPECT_FALSE(TryRun(5).has_value());
  EXPECT_TRUE(TryRun(5).has_value());
  EXPECT_EQ(recordings_.counts().recorded, 2);
}

TEST(LayerRecordings, WithoutADeviceThatRecords_NothingIsNoted) {
  const PortableBackend portable{at::Device(at::kCPU)};
  for (const Placement& placement :
       {Placement(DataType::kFloat32), Placement(DataType::kFloat32, &portable)}) {
    LayerRecordings recordings(placement);
    TokenBatch batch;
    batch.Add({.token_ids = std::vector<int32_t>{1, 2}});
    const ForwardOptions options;
    const PackedPass pass(batch, options, placement);
    for (int time = 0; time < 3; ++time) {
      EXPECT_FALSE(recordings.TryRun(pass, at::ones({2, 2}),
                                     [](PackedPass&, at::Tensor rows) { return rows; }));
    }
  }
}

}  // namespace
}  // namespace longspan
