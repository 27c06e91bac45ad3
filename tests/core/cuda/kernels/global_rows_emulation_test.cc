// The device's kernels for rows of global tokens, run on the emulated device by way of their public
// call, against loops in double precision.
#include "tests/core/cuda/kernels/cuda_emulation.h"
#include "tests/core/cuda/kernels/emulated_ampere.h"
//
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/cuda/kernels/global_rows.cu"
#include "tests/core/cuda/kernels/guarded_array.h"

namespace longspan::cuda {
namespace {

constexpr Storage kBfloat16 = Storage::kBfloat16, kFloat16 = Storage::kFloat16;

enum class Rows : uint8_t { kAllRead, kHoles, kUnreadAtFirst, kNoneRead, kNan };
struct TextOfCase {
  int rows;
  int globals;
  Rows kind = Rows::kAllRead;
  bool is_listed = true;
};
struct RowsCase {
  std::string name;
  std::vector<TextOfCase> texts;
  int heads;
  int width;
  Storage storage = kBfloat16;
  float spread = 3;  // of the scores
  float size = 1;    // of hidden; u is as much larger as this is smaller
  int most_shared = 227 << 10;
};

constexpr auto kHoles = Rows::kHoles, kUnreadAtFirst = Rows::kUnreadAtFirst;
constexpr auto kNoneRead = Rows::kNoneRead, kAllRead = Rows::kAllRead, kNan = Rows::kNan;

// {name, {{rows, globals, kind, listed}, ...}, heads, width, storage, spread, size, shared memory}
const RowsCase kCases[] = {
    {"base", {{300, 1}, {5, 0}, {1, 1}, {33, 1}}, 12, 768},
    {"base_float16", {{300, 1}, {5, 0}, {1, 1}, {33, 1}}, 12, 768, kFloat16},
    {"large", {{31, 1}, {258, 1}}, 16, 1024},
    {"large_float16", {{31, 1}, {258, 1}}, 16, 1024, kFloat16},
    {"little_shared", {{300, 1}, {17, 1}}, 12, 768, kBfloat16, 3, 1, 99 << 10},
    {"little_shared_large", {{15, 2}, {270, 1, kHoles}}, 16, 1024, kFloat16, 3, 1, 99 << 10},
    {"several_globals", {{70, 3}, {600, 2}, {9, 7}}, 5, 128},
    {"many_globals", {{1100, 40}, {20, 33}}, 2, 64, kFloat16},
    {"not_listed", {{40, 1}, {90, 50, kAllRead, false}, {300, 2}, {8, 1, kNan, false}}, 4, 64},
    {"masked", {{90, 2, kHoles}, {64, 1, kNoneRead}, {700, 1, kUnreadAtFirst}}, 6, 192},
    {"masked_float16",
     {{600, 1, kNoneRead}, {300, 1, kHoles}, {1, 1, kNoneRead}},
     12,
     384,
     kFloat16},
    {"many_parts", {{9000, 1, kUnreadAtFirst}}, 3, 64},
    {"width_8", {{50, 1}, {290, 2, kHoles}}, 1, 8},
    {"width_264", {{35, 1}, {257, 1}}, 3, 264, kFloat16},
    {"width_520", {{300, 2}}, 13, 520},
    {"sharp", {{400, 1}, {20, 1}}, 12, 128, kBfloat16, 30},
    {"sharp_float16", {{400, 1}, {20, 1}}, 12, 128, kFloat16, 30},
    {"large_u", {{300, 1}}, 4, 128, kFloat16, 3, 1e-5F},
    {"small_u", {{300, 1}}, 4, 128, kFloat16, 3, 3e3F},
};

float FromStorage(uint16_t bits, Storage storage) {
  return storage == kBfloat16 ? LowNumber<__nv_bfloat16>(bits) : LowNumber<__half>(bits);
}
uint16_t ToStorage(float x, Storage storage) {
  return storage == kBfloat16 ? ToBfloat16(x) : ToFloat16(x);
}

// A batch of random texts. Whatever the kernels must not read, or must not use, is NaN or infinite.
class Batch {
 public:
  explicit Batch(const RowsCase& c) : case_(c), random_(7) {
    for (const TextOfCase& text : c.texts) {
      if (text.kind != kAllRead && text.kind != kNan) has_mask_ = true;
      texts_.push_back({rows_, rows_ + text.rows, globals_, globals_ + text.globals});
      rows_ += text.rows;
      globals_ += text.globals;
    }
    hidden_.resize(static_cast<size_t>(rows_) * c.width);
    read_.resize(static_cast<size_t>(rows_), 1);
    u_.resize(static_cast<size_t>(c.heads) * globals_ * c.width,
              std::numeric_limits<float>::quiet_NaN());
    for (size_t text = 0; text < texts_.size(); ++text) Fill(text);
  }

  const std::vector<GlobalRowsText>& texts() const { return texts_; }
  bool IsListed(size_t text) const {
    return case_.texts[text].is_listed && case_.texts[text].globals > 0;
  }

  // The averages, [H, G, E], of the listed texts or of one of them; the others' stay 0xff bytes.
  std::vector<float> Averages(int only = -1) {
    std::vector<GlobalRowsText> listed;
    for (size_t text = 0; text < texts_.size(); ++text) {
      if (IsListed(text) && (only < 0 || only == static_cast<int>(text))) {
        listed.push_back(texts_[text]);
      }
    }
    const GlobalRowsPlan plan = PlanGlobalRows(listed, case_.heads);
    const GuardedArray<GlobalRowsBlock> blocks(plan.blocks);
    const GuardedArray<GlobalRowsMerge> merges(plan.merges);
    const GuardedArray<uint16_t> hidden(hidden_);
    const GuardedArray<float> u(u_);
    const GuardedArray<uint8_t> read(read_);
    GuardedArray<uint8_t> scratch(GlobalRowsScratch(plan.num_parts, case_.width));
    GuardedArray<float> averages(u_.size());
    GlobalRowsParams p;
    p.hidden = hidden.data();
    p.u = u.data();
    p.read = has_mask_ ? read.data() : nullptr;
    p.blocks = blocks.data();
    p.merges = merges.data();
    p.num_blocks = static_cast<int>(plan.blocks.size());
    p.num_merges = static_cast<int>(plan.merges.size());
    p.num_parts = plan.num_parts;
    p.num_globals = globals_;
    p.width = case_.width;
    p.averages = averages.data();
    p.scratch = scratch.data();
    p.storage = case_.storage;
    emulation::MostShared() = case_.most_shared;
    EXPECT_EQ(GlobalRowAverages(p, nullptr), cudaSuccess);
    return std::vector<float>(averages.data(), averages.data() + averages.size());
  }

  // The averages of one query by the definition.
  std::vector<double> Wanted(size_t text, int head, int global) const {
    const GlobalRowsText& rows = texts_[text];
    const float* u = &u_[QueryAt(text, head, global)];
    const auto width = static_cast<size_t>(case_.width);
    std::vector<double> scores(static_cast<size_t>(rows.row_end - rows.row_begin)), sum(width);
    double most = -INFINITY, total = 0;
    for (size_t t = 0; t < scores.size(); ++t) {
      const size_t row = static_cast<size_t>(rows.row_begin) + t;
      if (read_[row] == 0) continue;
      for (size_t d = 0; d < width; ++d) scores[t] += double{u[d]} * At(row, d);
      most = std::max(most, scores[t]);
    }
    for (size_t t = 0; t < scores.size(); ++t) {
      const size_t row = static_cast<size_t>(rows.row_begin) + t;
      if (read_[row] == 0) continue;
      const double weight = std::exp(scores[t] - most);
      total += weight;
      for (size_t d = 0; d < width; ++d) sum[d] += weight * At(row, d);
    }
    for (double& x : sum) x = total == 0 ? 0 : x / total;
    return sum;
  }

  size_t QueryAt(size_t text, int head, int global) const {
    const int row = head * globals_ + texts_[text].global_begin + global;
    return static_cast<size_t>(row) * static_cast<size_t>(case_.width);
  }

  void MakeNan(size_t text) {
    const auto width = static_cast<size_t>(case_.width);
    std::fill(hidden_.begin() + static_cast<ptrdiff_t>(texts_[text].row_begin * width),
              hidden_.begin() + static_cast<ptrdiff_t>(texts_[text].row_end * width), 0x7fff);
  }

 private:
  double At(size_t row, size_t column) const {
    return FromStorage(hidden_[row * static_cast<size_t>(case_.width) + column], case_.storage);
  }

  void Fill(size_t text) {
    std::normal_distribution<float> normal;
    const Rows kind = case_.texts[text].kind;
    const uint16_t infinity = ToStorage(INFINITY, case_.storage);
    const GlobalRowsText& rows = texts_[text];
    for (int row = rows.row_begin; row < rows.row_end; ++row) {
      const bool unread = kind == kNoneRead || (kind == kHoles && random_() % 3 == 0) ||
                          (kind == kUnreadAtFirst && row - rows.row_begin < 270);
      read_[static_cast<size_t>(row)] = unread ? 0 : 1;
      const bool spoilt = unread || kind == kNan || !IsListed(text);
      for (int d = 0; d < case_.width; ++d) {
        const uint16_t value = spoilt ? (random_() % 2 == 0 ? 0x7fff : infinity)
                                      : ToStorage(normal(random_) * case_.size, case_.storage);
        hidden_[static_cast<size_t>(row * case_.width + d)] = value;
      }
    }
    if (!IsListed(text)) return;
    const float size = case_.spread / std::sqrt(static_cast<float>(case_.width)) / case_.size;
    for (int head = 0; head < case_.heads; ++head) {
      for (int global = 0; global < case_.texts[text].globals; ++global) {
        float* u = &u_[QueryAt(text, head, global)];
        for (int d = 0; d < case_.width; ++d) u[d] = normal(random_) * size;
      }
    }
  }

  const RowsCase case_;
  std::mt19937 random_;
  int rows_ = 0, globals_ = 0;
  bool has_mask_ = false;
  std::vector<GlobalRowsText> texts_;
  std::vector<uint16_t> hidden_;
  std::vector<uint8_t> read_;
  std::vector<float> u_;
};

class EmulatedGlobalRows : public testing::TestWithParam<RowsCase> {
 protected:
  void SetUp() override {
    if (!emulation::kCanEmulate) GTEST_SKIP() << "sanitizers do not know the stacks of fibers";
    emulation::Seed(1);
  }
  void TearDown() override { emulation::MostShared() = 227 << 10; }
};
INSTANTIATE_TEST_SUITE_P(Batches, EmulatedGlobalRows, testing::ValuesIn(kCases),
                         [](const auto& info) { return info.param.name; });

// Weights in bfloat16 have two pieces of 8 bits, float16 two of 11. Scores are float32: what they
// are off by is relative to their size.
double ToleranceOf(const RowsCase& c) {
  return (c.storage == kBfloat16 ? 1e-5 : 1e-6) + 3e-7 * c.spread;
}

TEST_P(EmulatedGlobalRows, AverageAsTheDefinition) {
  const RowsCase& c = GetParam();
  Batch batch(c);
  const std::vector<float> got = batch.Averages();
  for (size_t text = 0; text < c.texts.size(); ++text) {
    for (int head = 0; head < c.heads; ++head) {
      for (int global = 0; global < c.texts[text].globals; ++global) {
        const float* row = &got[batch.QueryAt(text, head, global)];
        if (!batch.IsListed(text)) {
          for (int d = 0; d < c.width; ++d) {
            uint32_t bits;
            std::memcpy(&bits, row + d, 4);
            ASSERT_EQ(bits, ~0U) << "a write to a text that is not listed";
          }
          continue;
        }
        const std::vector<double> want = batch.Wanted(text, head, global);
        double error = 0, square = 0;
        for (size_t d = 0; d < want.size(); ++d) {
          error += (row[d] - want[d]) * (row[d] - want[d]);
          square += want[d] * want[d];
        }
        ASSERT_LE(std::sqrt(error), ToleranceOf(c) * std::sqrt(square))
            << "text " << text << ", head " << head << ", global " << global;
      }
    }
  }
}

TEST_P(EmulatedGlobalRows, GiveATextInABatchWhatItGetsAlone) {
  const RowsCase& c = GetParam();
  Batch batch(c);
  const std::vector<float> together = batch.Averages();
  for (size_t text = 0; text < c.texts.size(); ++text) {
    if (!batch.IsListed(text)) continue;
    const std::vector<float> alone = batch.Averages(static_cast<int>(text));
    for (int head = 0; head < c.heads; ++head) {
      const size_t from = batch.QueryAt(text, head, 0);
      const size_t bytes = sizeof(float) * static_cast<size_t>(c.texts[text].globals * c.width);
      ASSERT_EQ(std::memcmp(&alone[from], &together[from], bytes), 0) << "text " << text;
    }
  }
}

class GlobalRows : public testing::Test {
 protected:
  void SetUp() override {
    if (!emulation::kCanEmulate) GTEST_SKIP() << "sanitizers do not know the stacks of fibers";
    emulation::Seed(1);
  }
};

TEST_F(GlobalRows, ATextOfNaNsIsNaNAndChangesNoBitOfItsNeighbours) {
  for (const Storage storage : {kBfloat16, kFloat16}) {
    const RowsCase c = {"", {{40, 1}, {300, 2}, {70, 1}}, 3, 64, storage};
    const std::vector<float> want = Batch(c).Averages();
    for (size_t text = 0; text < c.texts.size(); ++text) {
      Batch batch(c);
      batch.MakeNan(text);
      const std::vector<float> got = batch.Averages();
      for (size_t other = 0; other < c.texts.size(); ++other) {
        for (int head = 0; head < c.heads; ++head) {
          const size_t from = batch.QueryAt(other, head, 0);
          for (size_t i = 0; i < static_cast<size_t>(c.texts[other].globals * c.width); ++i) {
            if (other == text) {
              ASSERT_TRUE(std::isnan(got[from + i]));
            } else {
              ASSERT_EQ(got[from + i], want[from + i]);
            }
          }
        }
      }
    }
  }
}

TEST_F(GlobalRows, RefuseWhatTheirKernelsDoNotTake) {
  alignas(16) uint8_t memory[64] = {};
  GlobalRowsParams valid;
  valid.hidden = valid.scratch = memory;
  valid.u = valid.averages = reinterpret_cast<float*>(memory);
  valid.blocks = reinterpret_cast<const GlobalRowsBlock*>(memory);
  valid.merges = reinterpret_cast<const GlobalRowsMerge*>(memory);
  valid.num_globals = 1;
  valid.width = 64;
  const auto result = [&](auto change) {
    GlobalRowsParams p = valid;
    p.num_blocks = p.num_merges = 1;
    p.num_parts = 2;
    change(p);
    return GlobalRowAverages(p, nullptr);
  };
  using Params = GlobalRowsParams;
  EXPECT_EQ(result([](Params& p) { p.width = 60; }), cudaErrorInvalidValue);
  EXPECT_EQ(result([](Params& p) { p.width = 0; }), cudaErrorInvalidValue);
  EXPECT_EQ(result([](Params& p) { p.width = kGlobalRowsMaxWidth + 8; }), cudaErrorInvalidValue);
  EXPECT_EQ(result([](Params& p) { p.num_globals = 0; }), cudaErrorInvalidValue);
  EXPECT_EQ(result([](Params& p) { p.num_blocks = -1; }), cudaErrorInvalidValue);
  EXPECT_EQ(result([](Params& p) { p.num_parts = 1; }), cudaErrorInvalidValue);
  EXPECT_EQ(result([](Params& p) { p.scratch = nullptr; }), cudaErrorInvalidValue);
  EXPECT_EQ(result([](Params& p) { p.merges = nullptr; }), cudaErrorInvalidValue);
  EXPECT_EQ(result([](Params& p) { ++p.u; }), cudaErrorInvalidValue);
  EXPECT_EQ(result([](Params& p) { p.num_blocks = 0; }), cudaSuccess) << "nothing to do";
}

TEST_F(GlobalRows, ScratchHoldsTheSumsAndRowsOfAllParts) {
  EXPECT_EQ(GlobalRowsScratch(0, 768), 0U);
  EXPECT_EQ(GlobalRowsScratch(3, 768), 3U * 16 * (768 * 4 + 8));
}

}  // namespace
}  // namespace longspan::cuda
