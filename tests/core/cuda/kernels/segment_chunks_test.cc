// Which rows the slots of segments hold, and that no two chunks share a place.
#include "core/cuda/kernels/segment_chunks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace longspan::cuda {
namespace {

constexpr int64_t kChunk = kSegmentChunk;

struct SegmentCase {
  std::string name;
  std::vector<int64_t> lengths;
};

std::vector<int64_t> RandomLengths(int count, int64_t longest) {
  std::mt19937 random(static_cast<unsigned>(longest));
  std::vector<int64_t> lengths;
  for (int i = 0; i < count; ++i) {
    // As many short ones as long ones, and some around whole chunks.
    const int64_t most = random() % 2 == 0 ? 5 : longest;
    int64_t length = 1 + static_cast<int64_t>(random() % static_cast<uint64_t>(most));
    if (random() % 4 == 0) length = length / kChunk * kChunk + 1 - random() % 2;
    lengths.push_back(length < 1 ? 1 : length);
  }
  return lengths;
}

std::vector<SegmentCase> Cases() {
  return {
      {"one_row", {1}},
      {"one_chunk", {kChunk}},
      {"a_row_more", {kChunk + 1}},
      {"a_million_rows", {1'000'003}},
      {"single_rows", std::vector<int64_t>(65'536, 1)},
      {"chunks", std::vector<int64_t>(300, kChunk)},
      {"chunks_and_a_row", std::vector<int64_t>(300, kChunk + 1)},
      {"around_chunks", {kChunk - 1, kChunk, kChunk + 1, 2 * kChunk - 1, 2 * kChunk, 1, 1, 700}},
      {"short", RandomLengths(5000, 10)},
      {"mixed", RandomLengths(3000, 3 * kChunk)},
      {"long", RandomLengths(500, 20 * kChunk)},
  };
}

class SegmentChunks : public testing::TestWithParam<SegmentCase> {
 protected:
  SegmentChunks() {
    for (const int64_t length : GetParam().lengths) offsets_.push_back(offsets_.back() + length);
  }
  int32_t num_segments() const { return static_cast<int32_t>(offsets_.size()) - 1; }
  int64_t num_rows() const { return offsets_.back(); }
  int64_t length(int32_t segment) const { return offsets_[segment + 1] - offsets_[segment]; }
  SegmentSlot At(int64_t slot) const {
    return SegmentSlotAt(offsets_.data(), num_segments(), slot);
  }

  std::vector<int64_t> offsets_ = {0};
};
INSTANTIATE_TEST_SUITE_P(Lengths, SegmentChunks, testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param.name; });

TEST_P(SegmentChunks, HoldEachRowOnceInOrder) {
  int64_t next = 0;
  for (int64_t i = 0; i < NumSegmentSlots(num_rows(), num_segments()); ++i) {
    const SegmentSlot slot = At(i);
    if (slot.rows == 0) continue;
    ASSERT_EQ(slot.row, next) << "slot " << i;
    ASSERT_GE(slot.rows, 1) << "slot " << i;
    next += slot.rows;
  }
  EXPECT_EQ(next, num_rows());
}

TEST_P(SegmentChunks, AreCutFromTheirSegmentsOwnFirstRow) {
  int64_t slot = 0;
  const auto next_chunk = [&] {
    while (At(slot).rows == 0) ++slot;
    return At(slot++);
  };
  for (int32_t segment = 0; segment < num_segments(); ++segment) {
    for (int64_t row = 0; row < length(segment); row += kChunk) {
      const SegmentSlot chunk = next_chunk();
      ASSERT_EQ(chunk.row, offsets_[segment] + row);
      ASSERT_EQ(chunk.rows, std::min(kChunk, length(segment) - row));
      ASSERT_EQ(chunk.target >= 0, length(segment) <= kChunk);
      if (chunk.target >= 0) {
        ASSERT_EQ(chunk.target, segment);
      }
    }
  }
}

TEST_P(SegmentChunks, OfLongSegmentsHavePlacesOneBehindTheOther) {
  const int64_t places = NumSegmentPlaces(num_rows());
  std::vector<int32_t> begins(static_cast<size_t>(places), -1);  // the segment that begins there
  std::set<int64_t> taken;
  for (int64_t i = 0; i < NumSegmentSlots(num_rows(), num_segments()); ++i) {
    const SegmentSlot slot = At(i);
    if (slot.rows == 0 || slot.target >= 0) continue;
    const int64_t place = -1 - slot.target;
    ASSERT_GE(place, 0);
    ASSERT_LT(place, places);
    ASSERT_TRUE(taken.insert(place).second) << "two chunks at place " << place;
    const auto segment = static_cast<int32_t>(
        std::upper_bound(offsets_.begin(), offsets_.end(), slot.row) - offsets_.begin() - 1);
    const int64_t chunk = (slot.row - offsets_[segment]) / kChunk;
    begins[place - chunk] = segment;
  }
  for (int64_t place = 0; place < places; ++place) {
    ASSERT_EQ(SegmentThatBeginsAt(offsets_.data(), num_segments(), place), begins[place]) << place;
  }
}

}  // namespace
}  // namespace longspan::cuda
