#include "core/attention/global_row_attention.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace longspan {
namespace {

struct Case {
  std::vector<int64_t> lengths;
  std::vector<std::vector<int64_t>> globals;  // per text, positions in the text
  std::vector<int64_t> holes = {};            // packed positions that are not read
  int64_t heads = 2;
  int64_t width = 8;
};

GlobalProjections RandomProjections(int64_t width) {
  const auto weight = [&] {
    return at::randn({width, width}).mul_(1.5 / std::sqrt(static_cast<double>(width)));
  };
  return {.query_weight = weight(),
          .query_bias = at::randn({width}),
          .key_weight = weight(),
          .key_bias = at::randn({width}),
          .value_weight = weight(),
          .value_bias = at::randn({width})};
}

// The rule of the paper in double: one global token and one head at a time, every token projected.
at::Tensor ReferenceRow(const at::Tensor& x, const GlobalProjections& w, int64_t heads,
                        int64_t begin, int64_t end, int64_t global,
                        const std::vector<uint8_t>& mask) {
  const auto project = [&](const at::Tensor& weight, const at::Tensor& bias) {
    return at::linear(x.to(at::kDouble), weight.to(at::kDouble), bias.to(at::kDouble))
        .view({x.size(0), heads, -1});
  };
  const at::Tensor q = project(w.query_weight, w.query_bias);
  const at::Tensor k = project(w.key_weight, w.key_bias);
  const at::Tensor v = project(w.value_weight, w.value_bias);
  const int64_t head_size = q.size(2);
  at::Tensor row = at::zeros({heads, head_size}, at::kDouble);
  for (int64_t h = 0; h < heads; ++h) {
    double total = 0;
    for (int64_t j = begin; j < end; ++j) {
      if (!mask[j]) continue;
      const double weight = std::exp((q[global][h] * k[j][h]).sum().item<double>() /
                                     std::sqrt(static_cast<double>(head_size)));
      row[h] += v[j][h] * weight;
      total += weight;
    }
    row[h] /= total;
  }
  return row.to(at::kFloat);
}

struct Packed {
  std::vector<int32_t> cu_seqlens = {0}, globals, cu_globals = {0};
  std::vector<uint8_t> mask;
  explicit Packed(const Case& c) {
    for (size_t text = 0; text < c.lengths.size(); ++text) {
      for (int64_t g : c.globals[text])
        globals.push_back(static_cast<int32_t>(cu_seqlens.back() + g));
      cu_globals.push_back(static_cast<int32_t>(globals.size()));
      cu_seqlens.push_back(static_cast<int32_t>(cu_seqlens.back() + c.lengths[text]));
    }
    mask.assign(cu_seqlens.back(), 1);
    for (int64_t hole : c.holes) mask[hole] = 0;
  }
  PackedLayout Layout(bool with_mask) const {
    return {.cu_seqlens = cu_seqlens,
            .globals = globals,
            .cu_globals = cu_globals,
            .key_mask = with_mask ? std::span<const uint8_t>(mask) : std::span<const uint8_t>()};
  }
};

void ExpectEqualsReference(const Case& c, at::ScalarType type = at::kFloat,
                           double tolerance = 2e-5) {
  const Packed packed(c);
  const int64_t tokens = packed.cu_seqlens.back();
  const at::Tensor hidden = at::randn({tokens, c.width}).to(type);
  const GlobalProjections projections = RandomProjections(c.width);
  at::Tensor out = at::full({tokens, c.heads, c.width / c.heads}, 7.0, hidden.options());
  GlobalRowAttention(hidden, projections, c.heads, packed.Layout(!c.holes.empty()), out);
  for (size_t text = 0; text < c.lengths.size(); ++text) {
    for (int64_t position = 0; position < c.lengths[text]; ++position) {
      const int64_t token = packed.cu_seqlens[text] + position;
      const bool is_global = std::find(c.globals[text].begin(), c.globals[text].end(), position) !=
                                 c.globals[text].end() &&
                             packed.mask[token];
      const at::Tensor want =
          is_global
              ? ReferenceRow(hidden.to(at::kFloat), projections, c.heads, packed.cu_seqlens[text],
                             packed.cu_seqlens[text + 1], token, packed.mask)
              : at::full({c.heads, c.width / c.heads}, 7.0);
      EXPECT_TRUE(at::allclose(out[token].to(at::kFloat), want, tolerance, tolerance))
          << "text " << text << " position " << position;
    }
  }
}

TEST(GlobalRowAttention, OneGlobal_SeesItsWholeTextOnly) {
  ExpectEqualsReference({.lengths = {5, 9, 1}, .globals = {{0}, {0, 4}, {0}}});
}

TEST(GlobalRowAttention, TextsWithoutGlobals_AreLeftAlone) {
  ExpectEqualsReference({.lengths = {5, 3, 4}, .globals = {{}, {1}, {}}});
}

TEST(GlobalRowAttention, NoGlobals_WritesNothing) {
  ExpectEqualsReference({.lengths = {5, 3}, .globals = {{}, {}}});
}

// With 2 heads and a width of 8 the direct form is taken from 8 globals on.
TEST(GlobalRowAttention, ManyGlobals_TakeTheDirectForm) {
  ExpectEqualsReference(
      {.lengths = {10, 12},
       .globals = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {0, 1, 2, 3, 5, 6, 7, 9, 11}}});
}

TEST(GlobalRowAttention, BothFormsInOneBatch) {
  ExpectEqualsReference(
      {.lengths = {6, 12, 7}, .globals = {{2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {0, 6}}});
}

TEST(GlobalRowAttention, Holes_AreNotRead_AndAHoleIsNoGlobal) {
  ExpectEqualsReference({.lengths = {6, 12}, .globals = {{0, 5}, {1, 2}}, .holes = {2, 5, 6, 17}});
  ExpectEqualsReference(
      {.lengths = {3, 12}, .globals = {{0}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}, .holes = {4, 14}});
}

// More keys than one block of 512, a block that is all holes, and a maximum that rises late.
TEST(GlobalRowAttention, KeysInSeveralBlocks) {
  ExpectEqualsReference({.lengths = {1100}, .globals = {{3, 1090}}});
  std::vector<int64_t> holes;
  for (int64_t j = 500; j < 1030; ++j) holes.push_back(j);
  ExpectEqualsReference({.lengths = {1100}, .globals = {{3}}, .holes = holes});
  for (int64_t j = 0; j < 500; ++j) holes.push_back(j);
  std::sort(holes.begin(), holes.end());
  ExpectEqualsReference({.lengths = {1100}, .globals = {{1090}}, .holes = holes});
}

TEST(GlobalRowAttention, ManyTexts_AreProjectedInGroups) {
  Case c{.lengths = std::vector<int64_t>(100, 4),
         .globals = std::vector<std::vector<int64_t>>(100, {0, 2})};
  ExpectEqualsReference(c);
}

TEST(GlobalRowAttention, BFloat16Rows) {
  ExpectEqualsReference({.lengths = {20, 9}, .globals = {{0}, {0, 3}}}, at::kBFloat16, 0.02);
}

// With many globals in a long text the direct form attends a part of them at a time. The parts give
// what each global gives where all of them are attended at once.
TEST(GlobalRowAttention, TheDirectForm_InParts_GivesTheSame) {
  constexpr int64_t kTokens = 8192, kHeads = 2, kWidth = 512, kGlobals = 700;
  Case c{.lengths = {kTokens}, .globals = {{}}, .heads = kHeads, .width = kWidth};
  for (int64_t g = 0; g < kGlobals; ++g) c.globals[0].push_back(g * 11);
  const at::Tensor hidden = at::randn({kTokens, kWidth});
  const GlobalProjections projections = RandomProjections(kWidth);
  int asked = 0;
  const std::function<bool()> count = [&] {
    ++asked;
    return true;
  };
  const auto rows = [&](const Case& of) {
    const Packed packed(of);
    at::Tensor out = at::zeros({kTokens, kHeads, kWidth / kHeads});
    GlobalRowAttention(hidden, projections, kHeads, packed.Layout(false), out, count);
    return out;
  };
  const at::Tensor all = rows(c);
  EXPECT_GE(asked, 5) << "16.8 MFLOP for each global";
  // Other parts: 119 globals are one of them.
  Case few = c;
  few.globals[0].erase(few.globals[0].begin(), few.globals[0].begin() + 150);
  const at::Tensor some = rows(few);
  for (const int64_t g : {150, 180, 268, 269, 600, 699}) {
    EXPECT_TRUE(at::allclose(all[g * 11], some[g * 11], 1e-5, 1e-5)) << g;
  }
}

TEST(GlobalRowAttention, KeepGoing_EndsTheRest) {
  constexpr int64_t kTokens = 8192, kWidth = 512;
  Case c{.lengths = {kTokens, 10}, .globals = {{}, {0}}, .heads = 2, .width = kWidth};
  for (int64_t g = 0; g < 700; ++g) c.globals[0].push_back(g);
  const Packed packed(c);
  const at::Tensor hidden = at::randn({kTokens + 10, kWidth});
  at::Tensor out = at::zeros({kTokens + 10, 2, kWidth / 2});
  int asked = 0;
  GlobalRowAttention(hidden, RandomProjections(kWidth), 2, packed.Layout(false), out, [&] {
    ++asked;
    return false;
  });
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(out.abs().sum().item<float>(), 0) << "nothing is written behind the stop";
}

// Scores of a few hundred overflow exp without the running maximum.
TEST(GlobalRowAttention, LargeScores_StayFinite) {
  const Packed packed(Case{.lengths = {700}, .globals = {{0}}});
  const at::Tensor hidden = at::randn({700, 8}).mul_(100);
  at::Tensor out = at::full({700, 2, 4}, 0.0);
  GlobalRowAttention(hidden, RandomProjections(8), 2, packed.Layout(false), out);
  EXPECT_TRUE(out[0].isfinite().all().item<bool>());
}

}  // namespace
}  // namespace longspan
