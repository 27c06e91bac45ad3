// Pooling on a device against StreamingPooler, which has a reference of its own (pooling_test).
#include "core/segment_pooling.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "core/backend/portable_backend.h"

namespace longspan {
namespace {

constexpr PoolingMode kAllModes[] = {PoolingMode::kCls,          PoolingMode::kMax,
                                     PoolingMode::kMean,         PoolingMode::kMeanSqrtLen,
                                     PoolingMode::kWeightedMean, PoolingMode::kLastToken};
constexpr int64_t kWidth = 5;

const PortableBackend kBackend{at::Device(at::kCPU)};

using Vectors = std::vector<std::vector<std::vector<float>>>;

// Texts of a batch in the rows of a model that puts `gap` rows of NaN behind each.
struct Batch {
  std::vector<int64_t> lengths;
  std::vector<PoolingTask> tasks;
  std::vector<std::vector<uint8_t>> masks;
  int64_t gap = 0;
  at::Tensor rows;  // [all rows, kWidth]
  std::vector<int64_t> text_begin;

  void Fill(at::ScalarType type = at::kFloat) {
    int64_t total = 0;
    for (const int64_t length : lengths) {
      text_begin.push_back(total);
      total += length + gap;
    }
    rows = at::randn({total, kWidth}).add_(0.5).to(type);
    for (size_t text = 0; text < lengths.size(); ++text) {
      rows.slice(0, text_begin[text] + lengths[text], text_begin[text] + lengths[text] + gap)
          .fill_(NAN);
      tasks[text].dimensions = kWidth;
      if (!masks.empty() && !masks[text].empty()) tasks[text].attention_mask = masks[text];
    }
  }
  HiddenStates OnDevice(std::function<at::Tensor(const at::Tensor&)> last = {}) const {
    return HiddenStates(DeviceRows{&kBackend, rows, std::move(last)}, text_begin);
  }
  Vectors Pool(std::function<at::Tensor(const at::Tensor&)> last = {}) const {
    std::vector<PooledText> texts;
    for (size_t text = 0; text < tasks.size(); ++text)
      texts.push_back({static_cast<int32_t>(text), &tasks[text]});
    return PoolSegments(OnDevice(std::move(last)), texts).Wait();
  }
  std::vector<std::vector<float>> Want(size_t text) const {
    const at::Tensor of_text = rows.slice(0, text_begin[text], text_begin[text] + lengths[text])
                                   .to(at::kFloat)
                                   .contiguous();
    StreamingPooler pooler(tasks[text]);
    pooler.Add(of_text.const_data_ptr<float>(), lengths[text]);
    std::vector<std::vector<float>> vectors;
    for (size_t range = 0; range < tasks[text].ranges.size(); ++range)
      vectors.push_back(pooler.TakeVector(range));
    return vectors;
  }
  // Each value is that of exact arithmetic, rounded, on both sides; the sums of float64 may round
  // to the neighbour.
  void ExpectEqual() const {
    const Vectors got = Pool();
    ASSERT_EQ(got.size(), tasks.size());
    for (size_t text = 0; text < tasks.size(); ++text) {
      const std::vector<std::vector<float>> want = Want(text);
      ASSERT_EQ(got[text].size(), want.size());
      for (size_t range = 0; range < want.size(); ++range) {
        ASSERT_EQ(got[text][range].size(), want[range].size());
        for (size_t d = 0; d < want[range].size(); ++d) {
          const float a = got[text][range][d], b = want[range][d];
          if (std::isfinite(b)) {
            ASSERT_NEAR(a, b, 1e-7 * (1 + std::abs(b)))
                << "text " << text << " range [" << tasks[text].ranges[range].begin << ", "
                << tasks[text].ranges[range].end << ") value " << d;
          } else {
            ASSERT_FALSE(std::isfinite(a)) << "text " << text << " range " << range;
          }
        }
      }
    }
  }
};

TEST(SegmentPooling, EachMode_OfAWholeText) {
  for (const PoolingMode mode : kAllModes) {
    for (const int64_t length : {1, 2, 255, 256, 257, 1000}) {
      Batch batch{.lengths = {length}, .tasks = {{.modes = {mode}, .ranges = {{0, length}}}}};
      batch.Fill();
      batch.ExpectEqual();
    }
  }
}

TEST(SegmentPooling, SeveralModes_AreConcatenatedInTheirOrder) {
  Batch batch{.lengths = {9},
              .tasks = {{.modes = {PoolingMode::kMax, PoolingMode::kCls, PoolingMode::kMean,
                                   PoolingMode::kMax},
                         .ranges = {{0, 9}, {3, 5}}}}};
  batch.Fill();
  batch.ExpectEqual();
}

// More rows than are reduced at once, and so many that float32 sums would show.
TEST(SegmentPooling, ALongText_KeepsTheAccuracyOfFloat64) {
  Batch batch{.lengths = {100000},
              .tasks = {{.modes = {std::begin(kAllModes), std::end(kAllModes)},
                         .ranges = {{0, 100000}, {99990, 100000}, {50000, 50001}, {7, 99999}}}}};
  batch.Fill();
  batch.rows.add_(1000);
  batch.ExpectEqual();
}

TEST(SegmentPooling, RandomBatches) {
  std::mt19937 random(11);
  const auto below = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
  };
  for (int round = 0; round < 60; ++round) {
    Batch batch{.gap = below(2) * 3};
    for (int64_t i = 1 + below(6); i > 0; --i) {
      const int64_t length = 1 + below(below(2) == 0 ? 30 : 900);
      batch.lengths.push_back(length);
      PoolingTask task{.modes = {}};
      for (int64_t m = 1 + below(3); m > 0; --m) task.modes.push_back(kAllModes[below(6)]);
      for (int64_t r = below(3) == 0 ? below(40) : 1; r > 0; --r) {
        const int64_t begin = below(length + 1);
        task.ranges.push_back({begin, begin + below(length + 1 - begin)});
      }
      if (below(2) == 0) task.ranges.push_back({0, length});
      if (below(3) == 0) task.pooling_begin = below(length + 1);
      batch.tasks.push_back(task);
      batch.masks.emplace_back();
      for (int64_t t = 0; t < length && round % 3 == 0; ++t)
        batch.masks.back().push_back(below(4) != 0);
    }
    batch.Fill();
    SCOPED_TRACE(round);
    batch.ExpectEqual();
  }
}

// More ranges than are pooled together.
TEST(SegmentPooling, VeryManyOverlappingRanges) {
  Batch batch{.lengths = {3000}, .tasks = {{.modes = {PoolingMode::kWeightedMean}}}};
  std::mt19937 random(5);
  for (int i = 0; i < 9000; ++i) {
    const int64_t begin = static_cast<int64_t>(random() % 3000);
    batch.tasks[0].ranges.push_back(
        {begin, begin + 1 + static_cast<int64_t>(random() % static_cast<uint64_t>(3000 - begin))});
  }
  batch.Fill();
  batch.ExpectEqual();
}

TEST(SegmentPooling, NothingThatIsRead_GivesZeros) {
  Batch batch{.lengths = {6, 6},
              .tasks = {{.modes = {std::begin(kAllModes), std::end(kAllModes)},
                         .ranges = {{0, 6}, {2, 4}, {3, 3}}},
                        {.modes = {PoolingMode::kMax}, .ranges = {{0, 6}}, .pooling_begin = 6}},
              .masks = {{1, 1, 0, 0, 1, 1}, {}}};
  batch.Fill();
  batch.ExpectEqual();
  const Vectors got = batch.Pool();
  EXPECT_THAT(got[0][1], testing::Each(0.0F));
  EXPECT_THAT(got[0][2], testing::Each(0.0F));
  EXPECT_THAT(got[1][0], testing::Each(0.0F));
}

// NaN and Inf spoil the ranges that hold them and no others, in their own text and beside it.
TEST(SegmentPooling, NaN_SpoilsOnlyTheRangesThatHoldIt) {
  for (const float bad : {NAN, std::numeric_limits<float>::infinity()}) {
    Batch batch{.lengths = {600, 40, 600},
                .tasks = std::vector<PoolingTask>(
                    3, {.modes = {std::begin(kAllModes), std::end(kAllModes)}}),
                .gap = 1};
    batch.tasks[0].ranges = {{0, 600}, {0, 300}, {301, 600}, {300, 301}, {250, 310}};
    batch.tasks[1].ranges = {{0, 40}};
    batch.tasks[2].ranges = {{0, 600}, {1, 599}};
    batch.Fill();
    batch.rows[300].fill_(bad);
    batch.ExpectEqual();
  }
}

// Hidden rows of a storage type, and what a model leaves to the reading of its rows (a final norm).
TEST(SegmentPooling, StorageTypes_AndALastStep) {
  Batch batch{.lengths = {700, 20},
              .tasks = {{.modes = {std::begin(kAllModes), std::end(kAllModes)},
                         .ranges = {{0, 700}, {3, 9}}},
                        {.modes = {PoolingMode::kMean}, .ranges = {{0, 20}}}}};
  batch.Fill(at::kBFloat16);
  batch.ExpectEqual();
  const Vectors doubled = batch.Pool([](const at::Tensor& rows) { return rows * 2; });
  const Vectors plain = batch.Pool();
  for (size_t d = 0; d < 4 * kWidth; ++d)  // the modes that are linear in the rows
    EXPECT_FLOAT_EQ(doubled[0][0][d], 2 * plain[0][0][d]);
}

// After a last layer that made one row for each text.
TEST(SegmentPooling, OneRowForEachText_IsEnoughForCls) {
  const at::Tensor rows = at::randn({3, kWidth});
  const HiddenStates hidden(DeviceRows{&kBackend, rows, {}}, {0, 1, 2});
  std::vector<PoolingTask> tasks;
  for (const int64_t length : {5, 1, 900})
    tasks.push_back({.modes = {PoolingMode::kCls}, .dimensions = kWidth, .ranges = {{0, length}}});
  const Vectors got = PoolSegments(hidden, {{0, &tasks[0]}, {1, &tasks[1]}, {2, &tasks[2]}}).Wait();
  for (int64_t text = 0; text < 3; ++text) {
    for (int64_t d = 0; d < kWidth; ++d)
      EXPECT_EQ(got[text][0][d], rows[text][d].item<float>()) << text;
  }
}

}  // namespace
}  // namespace longspan
