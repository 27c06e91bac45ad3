// Attention to global tokens beyond the window, run on the emulated device by way of its public
// call: what it makes of a band's result is the softmax over both parts in double precision.
#include "tests/core/cuda/kernels/cuda_emulation.h"
#include "tests/core/cuda/kernels/emulated_storage.h"
//
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "core/cuda/kernels/global_columns.cu"
#include "tests/core/cuda/kernels/guarded_array.h"
#include "tests/core/cuda/kernels/rounded_values.h"

namespace longspan::cuda {
namespace {

constexpr Storage kBf16 = Storage::kBfloat16, kFp16 = Storage::kFloat16;
constexpr int64_t kUnlimited = INT64_MAX;

struct ColumnsCase {
  std::string name;
  std::vector<int> lengths;
  std::vector<std::vector<int>> globals;  // of each text, places in it
  int64_t window;
  int heads;
  int head_size;
  Storage storage;
  bool masked = false;  // some rows are not read
};

std::vector<int> Every(int step, int length) {
  std::vector<int> places;
  for (int i = 0; i < length; i += step) places.push_back(i);
  return places;
}

const ColumnsCase kCases[] = {
    {"one_global", {60, 33}, {{0}, {0}}, 5, 3, 64, kBf16},
    {"one_global_fp16", {60, 33}, {{0}, {0}}, 5, 3, 64, kFp16},
    {"some_at_both_ends", {50, 21, 40}, {{0, 1, 49}, {}, {0, 20, 39}}, 4, 2, 32, kBf16},
    {"masked", {50, 21, 40}, {{0, 1, 49}, {3}, {0, 20, 39}}, 4, 2, 32, kFp16, true},
    {"all_global", {30, 17, 1}, {Every(1, 30), Every(1, 17), {0}}, 3, 1, 16, kBf16},
    {"window_0", {20, 9}, {Every(3, 20), Every(1, 9)}, 0, 2, 8, kFp16},
    {"short_texts",
     {1, 2, 1, 3, 1, 1, 5, 2},
     {{0}, {1}, {}, {0, 2}, {0}, {0}, {0, 4}, {}},
     1,
     1,
     8,
     kBf16},
    {"whole_texts", {20, 9}, {{0, 19}, {4}}, kUnlimited, 2, 32, kBf16},
    {"no_globals", {20, 9}, {{}, {}}, 2, 2, 32, kBf16},
    {"seven_heads_of_24", {18, 25}, {{2, 17}, {24}}, 2, 7, 24, kFp16},
    {"heads_of_40", {18, 25}, {{2, 17}, {24}}, 2, 3, 40, kBf16},
    {"heads_of_128", {18, 25}, {{2, 17}, {24}}, 2, 3, 128, kBf16, true},
    {"heads_of_200", {14}, {{0, 9}}, 2, 2, 200, kFp16},
    {"heads_of_256", {14}, {{0, 9}}, 2, 2, 256, kBf16},
};

// A batch of random texts, what a band of the window makes of them, and what the softmax over the
// window and the globals beyond it is.
class EmulatedColumns {
 public:
  explicit EmulatedColumns(const ColumnsCase& c)
      : c_(c), width_(c.heads * c.head_size), stride_(3 * width_ + 8) {
    for (size_t text = 0; text < c.lengths.size(); ++text) {
      for (const int place : c.globals[text]) globals_.push_back(begins_.back() + place);
      cu_globals_.push_back(static_cast<int32_t>(globals_.size()));
      begins_.push_back(begins_.back() + c.lengths[text]);
    }
    std::mt19937 random(static_cast<unsigned>(width_));
    x_ = RandomValues(random, int64_t{rows()} * stride_, c.storage);
    for (int row = 0; row < rows(); ++row) read_.push_back(!c.masked || random() % 4 != 0);
    ComputeBand();
  }

  // Runs the kernel. `spoilt` is a text whose rows hold NaNs, or -1.
  cudaError_t Run(int spoilt = -1) {
    std::vector<uint16_t> stored = x_.stored;
    if (spoilt >= 0) {
      std::fill(stored.begin() + begins_[spoilt] * stride_,
                stored.begin() + begins_[spoilt + 1] * stride_, ToStorage(NAN, c_.storage));
    }
    const GuardedArray<uint16_t> qkv(stored);
    GuardedArray<uint16_t> result(band_);
    GuardedArray<float> result_lse(band_lse_);
    const GuardedArray<int32_t> begins(begins_), globals(globals_), cu_globals(cu_globals_);
    const GuardedArray<uint8_t> read(read_);
    GlobalColumnsParams p;
    p.out = result.data();
    p.lse = result_lse.data();
    p.q = qkv.data();
    p.k = qkv.data() + width_;
    p.v = qkv.data() + 2 * width_;
    p.q_stride = p.k_stride = p.v_stride = stride_;
    p.cu_seqlens = begins.data();
    p.globals = globals.data();
    p.cu_globals = cu_globals.data();
    p.read = c_.masked ? read.data() : nullptr;
    p.num_texts = static_cast<int32_t>(c_.lengths.size());
    p.num_rows = rows();
    p.num_heads = c_.heads;
    p.head_size = c_.head_size;
    p.window = c_.window;
    p.scale = Scale();
    p.storage = c_.storage;
    const cudaError_t error = GlobalColumns(p, nullptr);
    out.assign(result.data(), result.data() + result.size());
    lse.assign(result_lse.data(), result_lse.data() + result_lse.size());
    return error;
  }

  // The globals that the row gets here.
  std::vector<int> Columns(int row) const {
    std::vector<int> columns;
    const int text = TextOf(row);
    for (int i = cu_globals_[text]; i < cu_globals_[text + 1]; ++i) {
      const int global = globals_[i];
      if (read_[row] && read_[global] && std::abs(row - global) > c_.window) {
        columns.push_back(global);
      }
    }
    return columns;
  }

  // What must come of the band's result, as it is stored: [head_size] and the lse.
  std::vector<double> Want(int row, int head, double* want_lse) const {
    const float band_lse = band_lse_[LsePlace(row, head)];
    const double weight = std::isinf(band_lse) ? 0 : std::exp(double{band_lse});
    std::vector<double> sum(static_cast<size_t>(c_.head_size));
    for (int d = 0; d < c_.head_size; ++d) {
      sum[d] = weight == 0 ? 0 : weight * FromStorage(band_[Place(row, head) + d], c_.storage);
    }
    double total = weight;
    AddKeys(row, head, Columns(row), &total, &sum);
    for (double& x : sum) x /= total;
    *want_lse = std::log(total);
    return sum;
  }

  int rows() const { return begins_.back(); }
  int TextOf(int row) const {
    return static_cast<int>(std::upper_bound(begins_.begin(), begins_.end(), row) -
                            begins_.begin()) -
           1;
  }
  int Place(int row, int head) const { return row * width_ + head * c_.head_size; }
  int LsePlace(int row, int head) const { return head * rows() + row; }
  const std::vector<uint16_t>& band() const { return band_; }
  const std::vector<float>& band_lse() const { return band_lse_; }

  std::vector<uint16_t> out;
  std::vector<float> lse;

 private:
  float Scale() const { return 1.5F / std::sqrt(static_cast<float>(c_.head_size)); }

  // Adds the keys' weights and weighted values.
  void AddKeys(int row, int head, const std::vector<int>& keys, double* total,
               std::vector<double>* sum) const {
    for (const int key : keys) {
      const float* q = &x_.floats[row * stride_ + head * c_.head_size];
      const float* k = &x_.floats[key * stride_ + width_ + head * c_.head_size];
      double score = 0;
      for (int d = 0; d < c_.head_size; ++d) score += double{q[d]} * k[d];
      const double weight = std::exp(score * Scale());
      *total += weight;
      for (int d = 0; d < c_.head_size; ++d) (*sum)[d] += weight * (k + width_)[d];
    }
  }

  // Every fifth row is made one that has seen nothing, with either infinity in turn.
  void ComputeBand() {
    band_.resize(static_cast<size_t>(rows() * width_));
    band_lse_.resize(static_cast<size_t>(rows() * c_.heads));
    for (int row = 0; row < rows(); ++row) {
      std::vector<int> keys;
      const int text = TextOf(row);
      for (int key = begins_[text]; key < begins_[text + 1]; ++key) {
        const bool sees = row % 5 != 0 && read_[row] && read_[key];
        if (sees && std::abs(row - key) <= c_.window) keys.push_back(key);
      }
      for (int head = 0; head < c_.heads; ++head) {
        double total = 0;
        std::vector<double> sum(static_cast<size_t>(c_.head_size));
        AddKeys(row, head, keys, &total, &sum);
        for (int d = 0; d < c_.head_size; ++d) {
          band_[Place(row, head) + d] =
              ToStorage(static_cast<float>(keys.empty() ? 0 : sum[d] / total), c_.storage);
        }
        band_lse_[LsePlace(row, head)] = keys.empty() ? (row % 2 == 0 ? INFINITY : -INFINITY)
                                                      : static_cast<float>(std::log(total));
      }
    }
  }

  const ColumnsCase c_;
  const int width_;
  const int stride_;
  std::vector<int32_t> begins_ = {0}, globals_, cu_globals_ = {0};
  Values x_;
  std::vector<uint8_t> read_;
  std::vector<uint16_t> band_;   // [rows, heads, head_size]
  std::vector<float> band_lse_;  // [heads, rows]
};

class EmulatedGlobalColumns : public testing::TestWithParam<ColumnsCase> {
 protected:
  void SetUp() override {
    if (!emulation::kCanEmulate) GTEST_SKIP() << "sanitizers do not know the stacks of fibers";
    emulation::Seed(1);
  }
};
INSTANTIATE_TEST_SUITE_P(Texts, EmulatedGlobalColumns, testing::ValuesIn(kCases),
                         [](const auto& info) { return info.param.name; });

TEST_P(EmulatedGlobalColumns, MergeIntoTheBand) {
  const ColumnsCase& c = GetParam();
  EmulatedColumns device(c);
  ASSERT_EQ(device.Run(), cudaSuccess);
  for (int row = 0; row < device.rows(); ++row) {
    for (int head = 0; head < c.heads; ++head) {
      const int place = device.Place(row, head), lse_place = device.LsePlace(row, head);
      if (device.Columns(row).empty()) {
        for (int d = 0; d < c.head_size; ++d) {
          ASSERT_EQ(device.out[place + d], device.band()[place + d]) << "row " << row;
        }
        ASSERT_EQ(device.lse[lse_place], device.band_lse()[lse_place]) << "row " << row;
        continue;
      }
      double want_lse = 0;
      const std::vector<double> want = device.Want(row, head, &want_lse);
      ASSERT_TRUE(AreRounded(&device.out[place], want, c.storage, 1e-5))
          << "row " << row << ", head " << head;
      ASSERT_NEAR(device.lse[lse_place], want_lse, 1e-5 * (1 + std::fabs(want_lse)))
          << "row " << row << ", head " << head;
    }
  }
}

TEST_P(EmulatedGlobalColumns, ASpoiltTextLeavesOthersAsTheyAre) {
  const ColumnsCase& c = GetParam();
  EmulatedColumns device(c);
  ASSERT_EQ(device.Run(), cudaSuccess);
  const std::vector<uint16_t> want = device.out;
  const std::vector<float> want_lse = device.lse;
  for (int spoilt = 0; spoilt < static_cast<int>(c.lengths.size()); ++spoilt) {
    ASSERT_EQ(device.Run(spoilt), cudaSuccess);
    for (int row = 0; row < device.rows(); ++row) {
      if (device.TextOf(row) == spoilt) continue;
      for (int head = 0; head < c.heads; ++head) {
        for (int d = 0; d < c.head_size; ++d) {
          const int place = device.Place(row, head) + d;
          ASSERT_EQ(device.out[place], want[place]) << "text " << spoilt << ", row " << row;
        }
        const int place = device.LsePlace(row, head);
        ASSERT_EQ(device.lse[place], want_lse[place]) << "text " << spoilt << ", row " << row;
      }
    }
  }
}

TEST(GlobalColumnsCall, RefusesWhatItsKernelDoesNotTake) {
  GlobalColumnsParams p;
  p.num_texts = p.num_rows = p.num_heads = 1;
  for (const int head_size : {0, 4, 12, 264}) {
    p.head_size = head_size;
    EXPECT_EQ(GlobalColumns(p, nullptr), cudaErrorInvalidValue) << head_size;
  }
  p.head_size = 64;
  p.k_stride = 4;
  EXPECT_EQ(GlobalColumns(p, nullptr), cudaErrorInvalidValue);
  p.k_stride = 0;
  p.window = -1;
  EXPECT_EQ(GlobalColumns(p, nullptr), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace longspan::cuda
