// Sums and maxima of segments.
#include "core/cuda/kernels/segment_reduce.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "tests/cuda/check_sections.h"

namespace longspan::cuda {
namespace {

struct Reduced {
  std::vector<double> sum, weighted_sum;  // [S, E]
  std::vector<float> max;                 // [S, E]
};

// Rows of random values in segments, on the host.
struct SegmentRows {
  std::vector<int64_t> offsets = {0};
  int width = 0;
  RowType type = RowType::kBfloat16;
  bool masked = false;
  std::vector<uint16_t> stored;  // of bfloat16 and float16
  std::vector<float> floats;
  std::vector<float> weights;
  std::vector<uint8_t> read;

  int num_segments() const { return static_cast<int>(offsets.size()) - 1; }
};

const char* NameOf(RowType type) {
  return type == RowType::kBfloat16 ? "bf16" : type == RowType::kFloat16 ? "fp16" : "fp32";
}

SegmentRows RandomSegments(std::mt19937& random, const std::vector<int64_t>& lengths, int width,
                           RowType type, bool masked) {
  SegmentRows rows;
  for (const int64_t length : lengths) rows.offsets.push_back(rows.offsets.back() + length);
  rows.width = width;
  rows.type = type;
  rows.masked = masked;
  const int64_t count = rows.offsets.back();
  if (type == RowType::kFloat32) {
    rows.floats = RandomFloats(random, count * width);
  } else {
    Values values = RandomValues(
        random, count * width, type == RowType::kBfloat16 ? Storage::kBfloat16 : Storage::kFloat16);
    rows.stored = std::move(values.stored);
    rows.floats = std::move(values.floats);
  }
  for (int64_t row = 0; row < count; ++row) {
    rows.weights.push_back(static_cast<float>(row % 300 + 1));
    rows.read.push_back(!masked || random() % 3 != 0);
  }
  return rows;
}

// Segments [first, last) of the rows, by the card.
Reduced ReduceOnCard(const SegmentRows& rows, int first, int last) {
  const int64_t begin = rows.offsets[first], count = rows.offsets[last] - begin;
  std::vector<int64_t> offsets;
  for (int i = first; i <= last; ++i) offsets.push_back(rows.offsets[i] - begin);
  const auto slice = [&](const auto& x, int64_t width) {
    return std::decay_t<decltype(x)>(x.begin() + begin * width,
                                     x.begin() + (begin + count) * width);
  };
  const Device values(rows.type == RowType::kFloat32 ? Device(slice(rows.floats, rows.width))
                                                     : Device(slice(rows.stored, rows.width)));
  const Device weights(slice(rows.weights, 1)), read(slice(rows.read, 1)), starts(offsets);
  const size_t results = size_t(last - first) * rows.width;
  const Device sum(results * 8), weighted_sum(results * 8), max(results * 4);
  SegmentReduceParams p;
  p.rows = values.get();
  p.type = rows.type;
  p.offsets = starts.as<int64_t>();
  p.weights = weights.as<float>();
  p.read = rows.masked ? read.as<uint8_t>() : nullptr;
  p.sum = sum.as<double>();
  p.weighted_sum = weighted_sum.as<double>();
  p.max = max.as<float>();
  p.num_rows = count;
  p.num_segments = last - first;
  p.width = rows.width;
  p.scratch_bytes = SegmentReduceScratch(p);
  const Device scratch(p.scratch_bytes);
  p.scratch = scratch.get();
  Require(SegmentReduce(p, nullptr), "SegmentReduce");
  return {sum.Read<double>(), weighted_sum.Read<double>(), max.Read<float>()};
}

// Sums are as exact as segment_reduce.h says, relative to the sum of absolute values.
void CheckReduce(std::mt19937& random, const char* name, const std::vector<int64_t>& lengths,
                 int width, RowType type, bool masked) {
  const SegmentRows rows = RandomSegments(random, lengths, width, type, masked);
  const Reduced got = ReduceOnCard(rows, 0, rows.num_segments());
  double error = 0, weighted_error = 0, max_error = 0;
  for (int segment = 0; segment < rows.num_segments(); ++segment) {
    for (int column = 0; column < width; ++column) {
      double sum = 0, weighted_sum = 0, size = 1e-30, weighted_size = 1e-30;
      float max = -std::numeric_limits<float>::infinity();
      for (int64_t row = rows.offsets[segment]; row < rows.offsets[segment + 1]; ++row) {
        if (!rows.read[row]) continue;
        const double x = rows.floats[row * width + column], weighted = x * rows.weights[row];
        sum += x;
        size += std::fabs(x);
        weighted_sum += weighted;
        weighted_size += std::fabs(weighted);
        max = std::fmax(max, rows.floats[row * width + column]);
      }
      const size_t i = size_t(segment) * width + column;
      error = LargerError(error, std::fabs(got.sum[i] - sum) / size);
      weighted_error = LargerError(weighted_error,
                                   std::fabs(got.weighted_sum[i] - weighted_sum) / weighted_size);
      max_error = LargerError(max_error, got.max[i] == max ? 0 : 1);
    }
  }
  const std::string what = std::string("segments, ") + name + ", " + std::to_string(width) +
                           " wide, " + NameOf(type) + (masked ? ", masked" : "");
  Report(what + ", sum", error, std::ldexp(1, -22));
  Report(what + ", weighted sum", weighted_error, std::ldexp(1, -22));
  Report(what + ", maximum", max_error, 0);

  // A segment alone gives the same bits.
  int64_t different = 0;
  for (int segment = 0; segment < rows.num_segments(); segment += 1 + rows.num_segments() / 5) {
    const Reduced alone = ReduceOnCard(rows, segment, segment + 1);
    const size_t begin = size_t(segment) * width;
    different += std::memcmp(&got.sum[begin], alone.sum.data(), size_t(width) * 8) != 0;
    different +=
        std::memcmp(&got.weighted_sum[begin], alone.weighted_sum.data(), size_t(width) * 8) != 0;
    different += std::memcmp(&got.max[begin], alone.max.data(), size_t(width) * 4) != 0;
  }
  Report(what + ", alone and in a batch", static_cast<double>(different), 0);
}

}  // namespace

void CheckSegmentReduce(std::mt19937& random) {
  std::vector<int64_t> short_ones, mixed;
  for (int i = 0; i < 3000; ++i) short_ones.push_back(1 + static_cast<int64_t>(random() % 9));
  for (int i = 0; i < 60; ++i) {
    mixed.push_back(1 + static_cast<int64_t>(random() % (i % 2 == 0 ? 5 : 900)));
  }
  for (const RowType type : {RowType::kBfloat16, RowType::kFloat16, RowType::kFloat32}) {
    CheckReduce(random, "one of 30,000 rows", {30'000}, 136, type, false);
    CheckReduce(random, "3,000 of few rows", short_ones, 264, type, true);
    CheckReduce(random, "60 of 1 to 900 rows", mixed, 768, type, true);
    CheckReduce(random, "one row", {1}, 8, type, false);
    CheckReduce(random, "whole chunks", {128, 256, 128, 1280, 1}, 1032, type, false);
  }
}

void MeasureSegmentReduce(const Device& values) {
  for (const int num_segments : {1, 128, 16'384}) {
    std::vector<int64_t> offsets;
    for (int i = 0; i <= num_segments; ++i) offsets.push_back(int64_t{kTokens} / num_segments * i);
    const Device starts(offsets), weights(std::vector<float>(kTokens, 1));
    const size_t results = size_t{kWidth} * num_segments;
    const Device sum(results * 8), weighted_sum(results * 8), max(results * 4);
    SegmentReduceParams p;
    p.rows = values.get();
    p.offsets = starts.as<int64_t>();
    p.sum = sum.as<double>();
    p.num_rows = kTokens;
    p.num_segments = num_segments;
    p.width = kWidth;
    for (const bool all : {false, true}) {
      if (all) {
        p.weights = weights.as<float>();
        p.weighted_sum = weighted_sum.as<double>();
        p.max = max.as<float>();
      }
      p.scratch_bytes = SegmentReduceScratch(p);
      const Device scratch(p.scratch_bytes);
      p.scratch = scratch.get();
      const double seconds = Seconds([&] { Require(SegmentReduce(p, nullptr), "SegmentReduce"); });
      const double bytes = kTokens * kWidth * 2.0 + results * (all ? 20.0 : 8.0);
      std::printf("TIME %s of %d segments, 768 wide: %.2f ns a row, %.2f TB/s\n",
                  all ? "sum, weighted sum and maximum" : "sum", num_segments,
                  seconds / kTokens * 1e9, bytes / seconds * 1e-12);
    }
  }
}

}  // namespace longspan::cuda
