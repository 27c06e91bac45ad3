#include "core/kernels/lsh_hash.h"

#include <gmock/gmock.h>

#include <numeric>
#include <random>

#include "tests/reference/lsh_attention.h"

namespace longspan::kernels {
namespace {

// The implementations of this processor, and the public function, which chooses among them.
std::vector<LshHashImplementation> Implementations() {
  std::vector<LshHashImplementation> all = LshHashImplementations();
  all.push_back({"LshHash", nullptr, LshHash});
  return all;
}

struct Case {
  int rows, head_size, num_hashes;
  std::vector<int> factors;
  double share_masked;
};

// The rotations in rows of `stride` floats, as the kernel wants them. What lies behind the columns
// is poison, which would win every maximum.
std::vector<float> Padded(const std::vector<float>& rotations, int head_size, int columns,
                          int stride) {
  std::vector<float> padded(static_cast<size_t>(head_size) * stride, 1e30f);
  for (int d = 0; d < head_size; ++d)
    std::copy_n(&rotations[d * columns], columns, &padded[d * stride]);
  return padded;
}

void ExpectEqualsReference(const Case& c, std::mt19937& random) {
  std::normal_distribution<float> normal;
  const int half_sum = std::accumulate(c.factors.begin(), c.factors.end(), 0) / 2;
  const int columns = c.num_hashes * half_sum;
  std::vector<float> x(c.rows * c.head_size), rotations(c.head_size * columns);
  for (float& value : x) value = normal(random);
  for (float& value : rotations) value = normal(random);
  std::vector<uint8_t> read(c.rows);
  for (uint8_t& value : read) value = std::uniform_real_distribution<>()(random) >= c.share_masked;
  const std::vector<int> want =
      reference::LshBuckets({.length = c.rows, .head_size = c.head_size, .read = read}, x,
                            rotations, c.num_hashes, c.factors);

  const int stride = (columns + 31) / 32 * 32;
  const std::vector<float> padded = Padded(rotations, c.head_size, columns, stride);
  for (const auto& [name, needs, hash] : Implementations()) {
    std::vector<int32_t> buckets(c.num_hashes * c.rows, -1);
    hash({.x = x.data(),
          .x_stride = c.head_size,
          .rows = c.rows,
          .head_size = c.head_size,
          .rotations = padded.data(),
          .rotation_stride = stride,
          .num_hashes = c.num_hashes,
          .factors = c.factors.data(),
          .num_factors = static_cast<int32_t>(c.factors.size()),
          .key_mask = c.share_masked > 0 ? read.data() : nullptr,
          .buckets = buckets.data(),
          .bucket_stride = c.rows});
    // Values that are equal within rounding may go either way. None are expected in so few draws;
    // one bucket in ten thousand may differ.
    int different = 0;
    for (size_t i = 0; i < buckets.size(); ++i) different += buckets[i] != want[i];
    EXPECT_LE(different, static_cast<int>(buckets.size() / 10000))
        << name << " rows " << c.rows << " D " << c.head_size << " rounds " << c.num_hashes;
  }
}

TEST(LshHash, EqualsReference_OverShapes) {
  std::mt19937 random(1);
  for (int rows : {1, 7, 8, 9, 65}) {
    for (int head_size : {1, 8, 12, 16, 64}) {
      for (int num_hashes : {1, 2, 5, 8}) {
        for (const std::vector<int>& factors :
             {std::vector<int>{2}, {4}, {4, 6}, {64}, {2, 4, 6}, {34, 70}}) {
          ExpectEqualsReference({rows, head_size, num_hashes, factors, 0.0}, random);
          ExpectEqualsReference({rows, head_size, num_hashes, factors, 0.3}, random);
        }
      }
    }
  }
}

TEST(LshHash, TakesTheFirstMaximum_WhenValuesAreEqual) {
  // y = (2, 2, -2 | ...): values (2, 2, -2, -2, -2, 2): indices 0, 1 and 5 are equal, 0 is first.
  const std::vector<float> x = {1.0f, 0.0f};
  std::vector<float> rotations(2 * 32, 0.0f);
  rotations[0] = 2.0f;
  rotations[1] = 2.0f;
  rotations[2] = -2.0f;
  const int32_t factors[] = {6};
  for (const auto& [name, needs, hash] : Implementations()) {
    int32_t bucket = -1;
    hash({.x = x.data(),
          .x_stride = 2,
          .rows = 1,
          .head_size = 2,
          .rotations = rotations.data(),
          .rotation_stride = 32,
          .num_hashes = 1,
          .factors = factors,
          .num_factors = 1,
          .buckets = &bucket,
          .bucket_stride = 1});
    EXPECT_EQ(bucket, 0) << name;
  }
}

}  // namespace
}  // namespace longspan::kernels
