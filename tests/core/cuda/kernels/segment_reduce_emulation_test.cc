// Sums and maxima of segments, run on the emulated device by way of their public call, against
// loops in double precision.
#include "tests/core/cuda/kernels/cuda_emulation.h"
#include "tests/core/cuda/kernels/emulated_ampere.h"
//
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/cuda/kernels/segment_reduce.cu"
#include "tests/core/cuda/kernels/guarded_array.h"
#include "tests/cuda/host_values.h"

namespace longspan::cuda {
namespace {

constexpr int64_t kChunk = kSegmentChunk;

struct ReduceCase {
  std::string name;
  std::vector<int64_t> lengths;
  int width;
  RowType type;
  bool masked = false;  // some rows are not read
};

const ReduceCase kCases[] = {
    {"one_row", {1}, 8, RowType::kFloat32},
    {"single_rows", std::vector<int64_t>(37, 1), 264, RowType::kBfloat16},
    {"one_chunk", {kChunk}, 264, RowType::kFloat32},
    {"one_long_segment", {25 * kChunk + 3}, 40, RowType::kBfloat16},
    {"around_chunks", {kChunk - 1, kChunk, kChunk + 1, 2 * kChunk, 1}, 24, RowType::kFloat16},
    {"few_rows", {4, 3, 9, 1, 8, 5, 7, 6, 2, 4, 12, 4}, 520, RowType::kBfloat16, true},
    {"mixed", {3, 700, 1, 1, 300, 5, 129, 40}, 72, RowType::kFloat32, true},
    {"mixed_fp16", {700, 2, 2, 256, 5, 1}, 72, RowType::kFloat16, true},
    {"wide", {200, 3}, 1032, RowType::kBfloat16},
};

struct Reduced {
  std::vector<double> sum, weighted_sum;  // [S, E]
  std::vector<float> max;                 // [S, E]
};

// Rows of random values, in memory as `type` and as floats.
class EmulatedSegments {
 public:
  explicit EmulatedSegments(const ReduceCase& c) : c_(c) {
    for (const int64_t length : c.lengths) offsets_.push_back(offsets_.back() + length);
    std::mt19937 random(static_cast<unsigned>(c.width));
    if (c.type == RowType::kFloat32) {
      floats_ = RandomFloats(random, rows() * c.width);
    } else {
      floats_ = RandomValues(random, rows() * c.width, storage()).floats;
    }
    for (int64_t row = 0; row < rows(); ++row) {
      weights_.push_back(static_cast<float>(row % 300 + 1));
      read_.push_back(!c.masked || random() % 3 != 0);
    }
    if (c.masked) std::fill(read_.begin(), read_.begin() + offsets_[1], uint8_t{0});
  }

  // Of segments [first, last).
  Reduced Run(int first, int last, bool sum = true, bool weighted_sum = true, bool max = true) {
    const int64_t begin = offsets_[first], count = offsets_[last] - begin;
    std::vector<int64_t> offsets;
    for (int i = first; i <= last; ++i) offsets.push_back(offsets_[i] - begin);
    const GuardedArray<int64_t> device_offsets(offsets);
    const GuardedArray<uint8_t> rows(InMemory(begin, count));
    const GuardedArray<float> weights(Slice(weights_, begin, count));
    const GuardedArray<uint8_t> read(Slice(read_, begin, count));
    const auto results = static_cast<size_t>(int64_t{last - first} * c_.width);
    GuardedArray<double> sums(results), weighted_sums(results);
    GuardedArray<float> maxima(results);
    SegmentReduceParams p;
    p.rows = rows.data();
    p.type = c_.type;
    p.offsets = device_offsets.data();
    p.weights = weighted_sum ? weights.data() : nullptr;
    p.read = c_.masked ? read.data() : nullptr;
    p.sum = sum ? sums.data() : nullptr;
    p.weighted_sum = weighted_sum ? weighted_sums.data() : nullptr;
    p.max = max ? maxima.data() : nullptr;
    p.num_rows = count;
    p.num_segments = last - first;
    p.width = c_.width;
    p.scratch_bytes = SegmentReduceScratch(p);
    GuardedArray<uint8_t> scratch(p.scratch_bytes);
    p.scratch = scratch.data();
    EXPECT_EQ(SegmentReduce(p, nullptr), cudaSuccess);
    return {std::vector<double>(sums.data(), sums.data() + results),
            std::vector<double>(weighted_sums.data(), weighted_sums.data() + results),
            std::vector<float>(maxima.data(), maxima.data() + results)};
  }
  Reduced Run() { return Run(0, num_segments()); }

  int num_segments() const { return static_cast<int>(c_.lengths.size()); }
  int64_t rows() const { return offsets_.back(); }
  int64_t begin(int segment) const { return offsets_[segment]; }
  bool is_read(int64_t row) const { return read_[row] != 0; }
  float weight(int64_t row) const { return weights_[row]; }
  float& at(int64_t row, int column) { return floats_[row * c_.width + column]; }

 private:
  Storage storage() const {
    return c_.type == RowType::kBfloat16 ? Storage::kBfloat16 : Storage::kFloat16;
  }
  template <typename Element>
  static std::vector<Element> Slice(const std::vector<Element>& x, int64_t begin, int64_t count) {
    return {x.begin() + begin, x.begin() + begin + count};
  }
  std::vector<uint8_t> InMemory(int64_t begin, int64_t count) const {
    const int64_t element = c_.type == RowType::kFloat32 ? 4 : 2;
    std::vector<uint8_t> bytes(static_cast<size_t>(count * c_.width * element));
    for (int64_t i = 0; i < count * c_.width; ++i) {
      const float x = floats_[begin * c_.width + i];
      const uint16_t stored = ToStorage(x, storage());
      std::memcpy(&bytes[i * element], element == 4 ? static_cast<const void*>(&x) : &stored,
                  static_cast<size_t>(element));
    }
    return bytes;
  }

  const ReduceCase c_;
  std::vector<int64_t> offsets_ = {0};
  std::vector<float> floats_;
  std::vector<float> weights_;
  std::vector<uint8_t> read_;
};

class SegmentSums : public testing::Test {
 protected:
  void SetUp() override {
    if (!emulation::kCanEmulate) GTEST_SKIP() << "sanitizers do not know the stacks of fibers";
    emulation::Seed(1);
  }
};
class SegmentReduceKernels : public SegmentSums, public testing::WithParamInterface<ReduceCase> {};
INSTANTIATE_TEST_SUITE_P(Segments, SegmentReduceKernels, testing::ValuesIn(kCases),
                         [](const auto& info) { return info.param.name; });

// To what segment_reduce.h promises.
TEST_P(SegmentReduceKernels, AddAndCompareTheRowsThatAreRead) {
  const ReduceCase& c = GetParam();
  EmulatedSegments segments(c);
  const Reduced got = segments.Run();
  for (int segment = 0; segment < segments.num_segments(); ++segment) {
    for (int column = 0; column < c.width; ++column) {
      double sum = 0, weighted_sum = 0, size = 0, weighted_size = 0;
      float max = -INFINITY;
      for (int64_t row = segments.begin(segment); row < segments.begin(segment + 1); ++row) {
        if (!segments.is_read(row)) continue;
        const double x = segments.at(row, column), weighted = x * segments.weight(row);
        sum += x;
        size += std::fabs(x);
        weighted_sum += weighted;
        weighted_size += std::fabs(weighted);
        max = std::fmax(max, segments.at(row, column));
      }
      const size_t i = static_cast<size_t>(segment * c.width + column);
      ASSERT_NEAR(got.sum[i], sum, std::ldexp(size, -22)) << segment << ", " << column;
      ASSERT_NEAR(got.weighted_sum[i], weighted_sum, std::ldexp(weighted_size, -22))
          << segment << ", " << column;
      ASSERT_EQ(got.max[i], max) << segment << ", " << column;
    }
  }
}

// Beside 1, four of the others are lost where they are added to it in float32.
TEST_F(SegmentSums, KeepSmallRowsBesideLargeOnes) {
  const ReduceCase c = {"", {10 * kChunk}, 8, RowType::kFloat32};
  EmulatedSegments segments(c);
  const float small = std::ldexp(0.9F, -27);
  double sum = 0;
  for (int64_t row = 0; row < segments.rows(); ++row) {
    segments.at(row, 0) = row % kChunk == 0 ? 1.0F : small;
    sum += segments.at(row, 0);
  }
  EXPECT_NEAR(segments.Run().sum[0], sum, std::ldexp(sum, -22));
}

template <typename Element>
bool HasSameBits(const std::vector<Element>& whole, size_t begin,
                 const std::vector<Element>& part) {
  return std::memcmp(whole.data() + begin, part.data(), part.size() * sizeof(Element)) == 0;
}

TEST_P(SegmentReduceKernels, GiveASegmentAloneTheSameBits) {
  EmulatedSegments segments(GetParam());
  const Reduced all = segments.Run();
  for (int segment = 0; segment < segments.num_segments(); ++segment) {
    const Reduced alone = segments.Run(segment, segment + 1);
    const size_t begin = static_cast<size_t>(segment * GetParam().width);
    ASSERT_TRUE(HasSameBits(all.sum, begin, alone.sum)) << segment;
    ASSERT_TRUE(HasSameBits(all.weighted_sum, begin, alone.weighted_sum)) << segment;
    ASSERT_TRUE(HasSameBits(all.max, begin, alone.max)) << segment;
  }
}

TEST_P(SegmentReduceKernels, GiveWhatIsWantedAlone) {
  EmulatedSegments segments(GetParam());
  const Reduced all = segments.Run();
  const int count = segments.num_segments();
  EXPECT_TRUE(HasSameBits(all.sum, 0, segments.Run(0, count, true, false, false).sum));
  EXPECT_TRUE(
      HasSameBits(all.weighted_sum, 0, segments.Run(0, count, false, true, false).weighted_sum));
  EXPECT_TRUE(HasSameBits(all.max, 0, segments.Run(0, count, false, false, true).max));
}

// A NaN that is read wins in its segment and column; one that is not read shows nowhere.
TEST_P(SegmentReduceKernels, KeepNanWhereItIs) {
  const ReduceCase& c = GetParam();
  EmulatedSegments segments(c);
  const Reduced before = segments.Run();
  const int column = c.width - 3;
  for (const int64_t row : {int64_t{0}, segments.rows() / 2, segments.rows() - 1}) {
    EmulatedSegments spoilt(c);
    spoilt.at(row, column) = NAN;
    const Reduced after = spoilt.Run();
    for (int segment = 0; segment < segments.num_segments(); ++segment) {
      const bool holds = row >= segments.begin(segment) && row < segments.begin(segment + 1);
      for (int i = segment * c.width; i < (segment + 1) * c.width; ++i) {
        if (holds && segments.is_read(row) && i % c.width == column) {
          ASSERT_TRUE(std::isnan(after.sum[i])) << row;
          ASSERT_TRUE(std::isnan(after.weighted_sum[i])) << row;
          ASSERT_TRUE(std::isnan(after.max[i])) << row;
        } else {
          ASSERT_EQ(after.sum[i], before.sum[i]) << row;
          ASSERT_EQ(after.weighted_sum[i], before.weighted_sum[i]) << row;
          ASSERT_EQ(after.max[i], before.max[i]) << row;
        }
      }
    }
  }
}

TEST(SegmentReduceCall, RefusesWhatItsKernelsDoNotTake) {
  alignas(16) uint8_t memory[4096] = {};
  SegmentReduceParams p;
  p.num_rows = 10;
  p.num_segments = 2;
  p.width = 8;
  p.scratch_bytes = SegmentReduceScratch(p);
  ASSERT_GT(p.scratch_bytes, 0U);
  EXPECT_EQ(SegmentReduce(p, nullptr), cudaErrorInvalidValue) << "no scratch";
  p.scratch = memory;
  --p.scratch_bytes;
  EXPECT_EQ(SegmentReduce(p, nullptr), cudaErrorInvalidValue) << "too small";
  p.width = 12;
  EXPECT_EQ(SegmentReduceScratch(p), 0U);
  p.width = 8;
  p.num_segments = 11;
  EXPECT_EQ(SegmentReduceScratch(p), 0U) << "more segments than rows";
  p.num_segments = 2;
  p.weighted_sum = reinterpret_cast<double*>(memory);
  EXPECT_EQ(SegmentReduceScratch(p), 0U) << "no weights";
}

}  // namespace
}  // namespace longspan::cuda
