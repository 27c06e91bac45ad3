// Attention on the portable backend, and the composition that every backend shares (Band, Columns,
// Merge), against the slow reference and against the kernels of the CPU.
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/einsum.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "core/attention/block_sparse_attention.h"
#include "core/attention/first_row_attention.h"
#include "core/attention/first_rows.h"
#include "core/attention/global_row_attention.h"
#include "core/attention/sliding_window_attention.h"
#include "core/attention/upload_layout.h"
#include "core/backend/portable_backend.h"
#include "core/backend/portable_softmax.h"
#include "tests/core/backend/packed_texts.h"

namespace longspan {
namespace {

constexpr int64_t kHeads = 2, kHeadSize = 8;
constexpr double kScale = 0.35355339059327373;  // 1 / sqrt(kHeadSize)
constexpr double kTolerance = 5e-6;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

const PortableBackend& Portable() {
  static const PortableBackend backend{at::Device(at::kCPU)};
  return backend;
}

at::Tensor RandomQkv(int64_t rows) { return at::randn({rows, 3, kHeads, kHeadSize}).mul_(1.5); }

reference::AttentionPattern PatternOf(const PackedText& text) {
  const int64_t window = text.window == kernels::kUnlimitedWindow ? -1 : text.window;
  return reference::SlidingWindowPattern(window, text.globals, text.read);
}

// What float32 may be off by. A score s is rounded by 2^-24 |s|, and so is the logsumexp by which
// two parts are put together; either changes the weights by as much, and a mean of values v under
// such weights by twice that times |v|.
double ToleranceOf(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const at::Tensor scores = at::einsum("qhd,khd->hqk", {q, k}) * kScale;
  return 4 * std::ldexp(1.0, -24) * scores.abs().max().item<double>() *
         v.abs().max().item<double>();
}

// Window and globals on the backend, against the reference and the kernel.
void ExpectWindowAttention(const PackedTexts& texts) {
  SCOPED_TRACE(texts.Describe());
  const at::Tensor qkv = RandomQkv(texts.num_rows());
  const at::Tensor q = qkv.select(1, 0), k = qkv.select(1, 1), v = qkv.select(1, 2);
  const at::Tensor before = qkv.clone();
  const DeviceLayout device = UploadLayout(Portable(), texts.Layout());
  PackedLayout layout = texts.Layout();
  layout.device = &device;
  const at::Tensor got = SlidingWindowAttention(q, k, v, layout, kScale);
  EXPECT_TRUE(at::equal(qkv, before)) << "its input must stay";
  const ReferenceAttention want =
      AttendSlowly(texts, qkv, [&](size_t text) { return PatternOf(texts.texts()[text]); });
  const double tolerance = ToleranceOf(q, k, v);
  EXPECT_LE(WorstOut(got, want), tolerance);
  const at::Tensor kernel = SlidingWindowAttention(q, k, v, texts.Layout(), kScale);
  EXPECT_TRUE(at::allclose(got, kernel, /*rtol=*/0, 2 * tolerance));
}

std::vector<int> Positions(int begin, int end) {
  std::vector<int> positions(end - begin);
  std::iota(positions.begin(), positions.end(), begin);
  return positions;
}

TEST(WindowAttention, Length1_AndWindowsOf0And1) {
  for (int64_t window : {int64_t{0}, int64_t{1}, int64_t{2}, kernels::kUnlimitedWindow}) {
    ExpectWindowAttention(PackedTexts({{1, window}}));
    ExpectWindowAttention(PackedTexts({{1, window, {0}}}));
    ExpectWindowAttention(PackedTexts({{2, window}, {1, window}, {7, window, {3}}}));
  }
}

TEST(WindowAttention, Globals_InsideAndOutsideTheWindow_CountOnce) {
  ExpectWindowAttention(PackedTexts({{20, 3, {0}}}));
  ExpectWindowAttention(PackedTexts({{20, 3, {10}}}));
  ExpectWindowAttention(PackedTexts({{20, 3, {0, 4, 5, 19}}, {5, 3, {2}}, {20, 3}}));
}

TEST(WindowAttention, AllTokensGlobal_OrNone) {
  ExpectWindowAttention(PackedTexts({{17, 2, Positions(0, 17)}}));
  ExpectWindowAttention(PackedTexts({{17, 2}, {17, 2, Positions(0, 17)}, {9, 2}}));
}

// The rows that are not read see nothing; a row whose window holds none that is read but itself
// still sees itself; a global in a hole is none.
TEST(WindowAttention, Holes_AreNotSeen_AndSeeNothing) {
  std::vector<uint8_t> holes(30, 1);
  for (int i : {0, 3, 4, 5, 6, 7, 8, 9, 20, 29}) holes[i] = 0;
  ExpectWindowAttention(PackedTexts({{30, 2, {}, holes}}));
  ExpectWindowAttention(PackedTexts({{30, 2, {0, 5, 6, 15, 29}, holes}, {12, 1, {3}}}));
  ExpectWindowAttention(PackedTexts({{6, 1, {2}, std::vector<uint8_t>(6, 0)}, {4, 1}}));
}

// Blocks of rows of a band are 256 rows here.
TEST(WindowAttention, TextsOfSeveralBlocks) {
  ExpectWindowAttention(
      PackedTexts({{700, 5, {0, 300, 699}}, {257, 5}, {256, 5}, {255, 5, {254}}}));
  ExpectWindowAttention(PackedTexts({{600, 200, {1, 599}}, {599}}));
}

TEST(WindowAttention, MixedWindows_InOneBatch) {
  ExpectWindowAttention(PackedTexts({{40, 3, {1}}, {8}, {40, 5, {0, 39}}, {4, 3}, {40}, {3, 7}}));
}

TEST(WindowAttention, RandomBatches) {
  std::mt19937 random(7);
  const auto below = [&](int n) { return static_cast<int>(random() % n); };
  for (int round = 0; round < 60; ++round) {
    std::vector<PackedText> texts;
    for (int i = 1 + below(5); i > 0; --i) {
      PackedText text{.length = 1 + below(60)};
      if (below(3) != 0) text.window = below(12);
      const int one_in = 1 + below(12);
      for (int g = 0; g < text.length && below(3) != 0; ++g) {
        if (below(one_in) == 0) text.globals.push_back(g);
      }
      if (below(3) == 0) {
        // 2 = no token sees it, and it sees the others.
        for (int t = 0; t < text.length; ++t) text.read.push_back(below(4) % 3);
      }
      texts.push_back(text);
    }
    ExpectWindowAttention(PackedTexts(texts));
  }
}

// A text of NaN or of infinities changes nothing of its neighbours.
TEST(WindowAttention, ABadText_SpoilsOnlyItself) {
  const PackedTexts texts({{12, 2, {0}}, {9, 2, {4}}, {12, 2, {11}}});
  const DeviceLayout device = UploadLayout(Portable(), texts.Layout());
  at::Tensor qkv = RandomQkv(33);
  const auto run = [&] {
    return Portable().WindowAttention(qkv.select(1, 0), qkv.select(1, 1), qkv.select(1, 2), device,
                                      kScale);
  };
  const at::Tensor good = run();
  for (const float bad : {kInfinity, -kInfinity, NAN}) {
    qkv.slice(0, 12, 21).fill_(bad);
    const at::Tensor got = run();
    EXPECT_TRUE(at::equal(got.slice(0, 0, 12), good.slice(0, 0, 12)));
    EXPECT_TRUE(at::equal(got.slice(0, 21, 33), good.slice(0, 21, 33)));
    EXPECT_FALSE(got.slice(0, 12, 21).isfinite().any().item<bool>()) << "it must show";
  }
}

// One part each, with the logsumexp.
TEST(Band, AndColumns_GiveTheirLogsumexps) {
  const PackedTexts texts({{30, 2, {0, 9, 20}}, {3, 2, {1}}, {9, 2}});
  const at::Tensor qkv = RandomQkv(texts.num_rows());
  const DeviceLayout device = UploadLayout(Portable(), texts.Layout());
  ASSERT_EQ(device.runs.size(), 1u);
  const at::Tensor q = qkv.select(1, 0), k = qkv.select(1, 1), v = qkv.select(1, 2);
  const AttentionPart band = Portable().Band(q, k, v, device.runs[0], kScale);
  const AttentionPart columns = Portable().Columns(q, k, v, device.runs[0], kScale);
  const ReferenceAttention want_band =
      AttendSlowly(texts, qkv, [](size_t) { return reference::SlidingWindowPattern(2, {}, {}); });
  const ReferenceAttention want_columns = AttendSlowly(texts, qkv, [&](size_t text) {
    const std::vector<int>& globals = texts.texts()[text].globals;
    return [&globals](int i, int j) -> int {
      return std::abs(i - j) > 2 && std::binary_search(globals.begin(), globals.end(), j);
    };
  });
  EXPECT_LE(WorstOut(band.out, want_band), kTolerance);
  EXPECT_LE(WorstOut(columns.out, want_columns), kTolerance);
  for (int64_t head = 0; head < kHeads; ++head) {
    for (int64_t row = 0; row < texts.num_rows(); ++row) {
      EXPECT_NEAR(band.lse[head][row].item<double>(), want_band.Lse(head, row), 1e-5);
      const double lse = columns.lse[head][row].item<double>();
      if (std::isinf(want_columns.Lse(head, row))) {
        EXPECT_TRUE(std::isinf(lse)) << row;
      } else {
        EXPECT_NEAR(lse, want_columns.Lse(head, row), 1e-5) << row;
      }
    }
  }
}

// The parts of disjoint keys, wherever the border between them lies.
TEST(Merge, OfDisjointKeys_IsTheAttentionToAll) {
  const at::Tensor q = at::randn({5, kHeads, kHeadSize}), k = at::randn({40, kHeads, kHeadSize}),
                   v = at::randn({40, kHeads, kHeadSize});
  const AttentionPart all = Attend(q, k, v, {}, {}, kScale);
  for (const int64_t border : {1, 13, 39}) {
    const AttentionPart merged =
        Portable().Merge(Attend(q, k.slice(0, 0, border), v.slice(0, 0, border), {}, {}, kScale),
                         Attend(q, k.slice(0, border), v.slice(0, border), {}, {}, kScale));
    EXPECT_TRUE(at::allclose(merged.out, all.out, 1e-5, 1e-6));
    EXPECT_TRUE(at::allclose(merged.lse, all.lse, 1e-5, 1e-5));
  }
}

// Scores so far apart that a plain sum of exponentials would overflow.
TEST(Merge, LogsumexpsOfHundreds_StayFinite) {
  const AttentionPart a{at::full({1, 1, 2}, 3.0), at::full({1, 1}, 400.0)};
  const AttentionPart b{at::full({1, 1, 2}, 5.0), at::full({1, 1}, 400.0)};
  const AttentionPart c{at::full({1, 1, 2}, 9.0), at::full({1, 1}, -400.0)};
  EXPECT_TRUE(at::allclose(Portable().Merge(a, b).out, at::full({1, 1, 2}, 4.0)));
  EXPECT_NEAR(Portable().Merge(a, b).lse.item<double>(), 400 + std::log(2.0), 1e-4);
  EXPECT_TRUE(at::allclose(Portable().Merge(a, c).out, at::full({1, 1, 2}, 3.0)));
}

// FlashAttention says +inf of a row without keys, we say -inf: both are empty, on either side.
TEST(Merge, AnInfiniteLogsumexp_OfEitherSign_IsAnEmptyPart) {
  const AttentionPart seen{at::full({1, 1, 2}, 3.0), at::full({1, 1}, 0.5)};
  for (const float empty : {kInfinity, -kInfinity}) {
    const AttentionPart none{at::zeros({1, 1, 2}), at::full({1, 1}, empty)};
    for (const AttentionPart& merged :
         {Portable().Merge(seen, none), Portable().Merge(none, seen)}) {
      EXPECT_TRUE(at::equal(merged.out, seen.out));
      EXPECT_NEAR(merged.lse.item<float>(), 0.5, 1e-6);
    }
    for (const float other : {kInfinity, -kInfinity}) {
      const AttentionPart both =
          Portable().Merge(none, {at::zeros({1, 1, 2}), at::full({1, 1}, other)});
      EXPECT_TRUE(at::equal(both.out, at::zeros({1, 1, 2}))) << "zeros, not NaN";
      EXPECT_EQ(both.lse.item<float>(), -kInfinity);
    }
  }
}

TEST(Merge, NaN_IsNotHidden) {
  const AttentionPart seen{at::full({1, 1, 2}, 3.0), at::full({1, 1}, 0.5)};
  for (const float lse : {NAN, kInfinity}) {
    const AttentionPart bad{at::full({1, 1, 2}, NAN), at::full({1, 1}, lse)};
    EXPECT_TRUE(Portable().Merge(seen, bad).out.isnan().all().item<bool>());
    EXPECT_TRUE(Portable().Merge(bad, seen).out.isnan().all().item<bool>());
  }
}

TEST(Merge, StorageTypes_KeepTheirType_AndMergeInFloat32) {
  const at::Tensor a = at::randn({6, kHeads, kHeadSize}).to(at::kBFloat16);
  const at::Tensor b = at::randn({6, kHeads, kHeadSize}).to(at::kBFloat16);
  const at::Tensor lse = at::randn({kHeads, 6});
  const at::Tensor merged = Portable().Merge({a, lse}, {b, lse}).out;
  EXPECT_EQ(merged.scalar_type(), at::kBFloat16);
  const at::Tensor want = ((a.to(at::kFloat) + b.to(at::kFloat)) / 2).to(at::kBFloat16);
  EXPECT_TRUE(at::allclose(merged, want, 0.008, 1e-6)) << "one rounding";
}

// --- First rows.

TEST(FirstRows, EqualThoseOfTheCpu) {
  std::mt19937 random(3);
  const auto below = [&](int n) { return static_cast<int>(random() % n); };
  for (int round = 0; round < 30; ++round) {
    std::vector<int32_t> cu_seqlens = {0};
    for (int i = 1 + below(6); i > 0; --i) cu_seqlens.push_back(cu_seqlens.back() + below(40));
    const int64_t keys = cu_seqlens.back();
    std::vector<uint8_t> mask;
    for (int64_t i = 0; i < keys && round % 2 == 0; ++i) mask.push_back(below(3) != 0);
    const at::Tensor qkv = RandomQkv(keys);
    const at::Tensor q = qkv.select(1, 0), k = qkv.select(1, 1), v = qkv.select(1, 2);
    const at::Tensor want = FirstRowAttention(q, k, v, cu_seqlens, mask, kScale);
    const at::Tensor got = FirstRowAttention(q, k, v, cu_seqlens, mask, kScale, false, &Portable());
    EXPECT_TRUE(at::allclose(got, want, kTolerance, kTolerance)) << round;
  }
}

// --- BigBird.

TEST(BlockSparse, EqualsTheReferenceAndTheKernel) {
  for (const int64_t size : {1, 2, 4, 5}) {
    for (const int64_t random_blocks : {0, 3}) {
      std::vector<PackedText> texts;
      for (const int64_t blocks : {2, 3, 4, 5, 9}) {
        PackedText text{.length = blocks * size};
        text.read.assign(text.length, 1);
        // Padding at the end, and a hole.
        for (int64_t i = 0; i < size - 1 && blocks % 2 == 1; ++i)
          text.read[text.length - 1 - i] = 0;
        if (blocks == 9 && size > 2) text.read[3 * size + 1] = 0;
        texts.push_back(text);
      }
      const PackedTexts packed(texts);
      SCOPED_TRACE(packed.Describe() + "blocks of " + std::to_string(size));
      const at::Tensor qkv = RandomQkv(packed.num_rows());
      const at::Tensor q = qkv.select(1, 0), k = qkv.select(1, 1), v = qkv.select(1, 2);
      const BlockSparsePattern pattern{.block_size = size, .random_blocks = random_blocks};
      const DeviceLayout device = UploadLayout(Portable(), packed.Layout());
      PackedLayout layout = packed.Layout();
      layout.device = &device;
      const at::Tensor got = BlockSparseAttention(q, k, v, layout, pattern, kScale);
      const ReferenceAttention want = AttendSlowly(packed, qkv, [&](size_t text) {
        const PackedText& t = packed.texts()[text];
        return reference::BlockSparsePattern(static_cast<int>(t.length), static_cast<int>(size),
                                             static_cast<int>(random_blocks), t.read);
      });
      EXPECT_LE(WorstOut(got, want), kTolerance);
      EXPECT_TRUE(at::allclose(got, BlockSparseAttention(q, k, v, packed.Layout(), pattern, kScale),
                               kTolerance, kTolerance));
    }
  }
}

// --- The rows of global tokens, against those of the CPU, which have a reference of their own.

void ExpectGlobalRows(const PackedTexts& texts, int64_t heads, int64_t width) {
  SCOPED_TRACE(texts.Describe());
  const auto weight = [&] { return at::randn({width, width}).div_(std::sqrt(width) / 1.5); };
  const GlobalProjections projections{weight(),           at::randn({width}), weight(),
                                      at::randn({width}), weight(),           at::randn({width})};
  const at::Tensor hidden = at::randn({texts.num_rows(), width});
  at::Tensor want = at::full({texts.num_rows(), heads, width / heads}, 7.0);
  at::Tensor got = want.clone();
  GlobalRowAttention(hidden, projections, heads, texts.Layout(), want);
  const DeviceLayout device = UploadLayout(Portable(), texts.Layout());
  PackedLayout layout = texts.Layout();
  layout.device = &device;
  GlobalRowAttention(hidden, projections, heads, layout, got);
  EXPECT_TRUE(at::allclose(got, want, 2e-5, 2e-5));
}

TEST(GlobalRows, EqualThoseOfTheCpu) {
  std::vector<uint8_t> holes(14, 1);
  for (int i : {0, 1, 5, 13}) holes[i] = 0;
  ExpectGlobalRows(PackedTexts({{5, 1, {0}}, {9, 1, {0, 4}}, {1, 1, {0}}, {3, 1}}), 2, 8);
  ExpectGlobalRows(PackedTexts({{5, 1}, {3, 1}}), 2, 8);
  // With 2 heads and a width of 8 the direct form is taken from 8 globals on.
  ExpectGlobalRows(PackedTexts({{10, 1, Positions(0, 10)},
                                {6, 1, {2}},
                                {12, 1, Positions(1, 11)},
                                {7, 1, {0, 6}},
                                {7, 1, {1}}}),
                   2, 8);
  ExpectGlobalRows(
      PackedTexts(
          {{14, 1, {3}, holes}, {14, 1, {0, 2, 5, 6}, holes}, {14, 1, Positions(0, 14), holes}}),
      2, 8);
}

// 8,192 keys at once: the running maximum rises, and a block is all holes.
TEST(GlobalRows, KeysInSeveralBlocks) {
  ExpectGlobalRows(PackedTexts({{20000, 1, {3, 19000}}}), 2, 8);
  std::vector<uint8_t> holes(20000, 1);
  std::fill(holes.begin(), holes.begin() + 8192, 0);
  ExpectGlobalRows(PackedTexts({{20000, 1, {19000}, holes}}), 2, 8);
}

// More globals than are multiplied together.
TEST(GlobalRows, ManyTexts) {
  ExpectGlobalRows(PackedTexts(std::vector<PackedText>(700, {4, 1, {0, 2}})), 2, 8);
}

}  // namespace
}  // namespace longspan
