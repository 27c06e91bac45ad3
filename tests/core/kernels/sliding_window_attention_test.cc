#include "core/kernels/sliding_window_attention.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <string>

#include "core/kernels/bfloat16.h"
#include "core/kernels/key_mask.h"
#include "core/kernels/row_attention.h"
#include "tests/reference/attention.h"

namespace longspan::kernels {
namespace {

struct Text {
  int length = 1;
  int64_t window = kUnlimitedWindow;
  std::vector<int> globals = {};   // positions in the text
  std::vector<uint8_t> read = {};  // [length]; empty = all are read
  std::vector<float> qkv = {};     // [length, 3, H, D], filled by Case
};

// Texts whose q, k and v lie in one packed buffer [T, 3, H, D].
struct Case {
  Case(std::vector<Text> texts, int num_heads, int head_size, ElementType type)
      : texts(std::move(texts)), num_heads(num_heads), head_size(head_size), type(type) {}

  int row() const { return num_heads * head_size; }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(head_size)); }

  void FillNormal(std::mt19937& random, float deviation) {
    std::normal_distribution<float> normal(0.0f, deviation);
    for (Text& text : texts) {
      text.qkv.resize(static_cast<size_t>(text.length) * 3 * row());
      for (float& x : text.qkv) {
        BFloat16 rounded;
        FromFloat(x = normal(random), &rounded);
        if (type == ElementType::kBFloat16) x = ToFloat(rounded);
      }
    }
  }

  struct Output {
    std::vector<float> out;  // [T, H, D]
    std::vector<float> lse;  // [T, H]
  };

  Output Run(const RowAttentionImplementation& implementation) const {
    std::vector<float> qkv;
    std::vector<int32_t> cu_seqlens = {0}, globals, cu_globals = {0};
    std::vector<int64_t> windows;
    std::vector<uint8_t> mask;
    bool any_mask = false;
    for (const Text& text : texts) {
      qkv.insert(qkv.end(), text.qkv.begin(), text.qkv.end());
      for (int g : text.globals) globals.push_back(cu_seqlens.back() + g);
      cu_globals.push_back(static_cast<int32_t>(globals.size()));
      for (int i = 0; i < text.length; ++i) mask.push_back(text.read.empty() ? 1 : text.read[i]);
      any_mask |= !text.read.empty();
      cu_seqlens.push_back(cu_seqlens.back() + text.length);
      windows.push_back(text.window);
    }
    const int tokens = cu_seqlens.back();
    std::vector<BFloat16> halves(qkv.size()),
        half_out(static_cast<size_t>(tokens) * row(), {0x7fc0});
    for (size_t i = 0; i < qkv.size(); ++i) FromFloat(qkv[i], &halves[i]);
    Output output = {std::vector<float>(static_cast<size_t>(tokens) * row(), NAN),
                     std::vector<float>(tokens * num_heads, NAN)};
    SlidingWindowAttentionParams params;
    params.type = type;
    const size_t width = type == ElementType::kFloat32 ? 4 : 2;
    const char* base = type == ElementType::kFloat32 ? reinterpret_cast<const char*>(qkv.data())
                                                     : reinterpret_cast<const char*>(halves.data());
    params.q = base;
    params.k = base + width * row();
    params.v = base + width * 2 * row();
    params.out =
        type == ElementType::kFloat32 ? static_cast<void*>(output.out.data()) : half_out.data();
    params.q_stride = params.k_stride = params.v_stride = 3 * row();
    params.out_stride = row();
    params.lse = output.lse.data();
    params.num_heads = num_heads;
    params.head_size = head_size;
    params.scale = scale();
    params.num_texts = static_cast<int32_t>(texts.size());
    params.cu_seqlens = cu_seqlens.data();
    params.windows = windows.data();
    params.globals = globals.empty() ? nullptr : globals.data();
    params.cu_globals = globals.empty() ? nullptr : cu_globals.data();
    params.key_mask = any_mask ? mask.data() : nullptr;
    const std::vector<RowTask> tasks = SlidingWindowTasks(params);
    implementation.run(params, tasks.data(), static_cast<int64_t>(tasks.size()));
    if (type == ElementType::kBFloat16) {
      for (size_t i = 0; i < half_out.size(); ++i) output.out[i] = ToFloat(half_out[i]);
    }
    return output;
  }

  std::string Describe() const {
    std::string description = "H " + std::to_string(num_heads) + " D " + std::to_string(head_size);
    for (const Text& text : texts) {
      description += " [n " + std::to_string(text.length) + " w " + std::to_string(text.window) +
                     " globals " + std::to_string(text.globals.size()) + " holes " +
                     std::to_string(std::count(text.read.begin(), text.read.end(), 0)) + "]";
    }
    return description;
  }

  std::vector<Text> texts;
  int num_heads;
  int head_size;
  ElementType type;
};

// q (part 0), k (1) or v (2) of one head: [length, D].
std::vector<float> Part(const Case& c, const Text& text, int part, int head) {
  std::vector<float> rows;
  for (int t = 0; t < text.length; ++t) {
    const float* begin =
        &text.qkv[((static_cast<size_t>(t) * 3 + part) * c.num_heads + head) * c.head_size];
    rows.insert(rows.end(), begin, begin + c.head_size);
  }
  return rows;
}

enum class Scores { kOfElements, kOfInt8 };

// What int8 scores take for the rows of one head: each rounded to 8 bits under a scale of its own.
std::vector<float> RoundedTo8Bits(std::vector<float> rows, int head_size) {
  for (auto row = rows.begin(); row != rows.end(); row += head_size) {
    float largest = 0;
    for (int d = 0; d < head_size; ++d) largest = std::max(largest, std::abs(row[d]));
    const float inverse = 127.0f / largest;
    for (int d = 0; d < head_size; ++d) row[d] = std::nearbyint(row[d] * inverse) * largest / 127;
  }
  return rows;
}

// Both kinds.
std::vector<RowAttentionImplementation> AllImplementations(ElementType type) {
  std::vector<RowAttentionImplementation> all = RowAttentionImplementations(type);
  for (const auto& one : Int8RowAttentionImplementations(type)) all.push_back(one);
  return all;
}

// Expects that no element of any text and head is further from the reference than `out_error`, and
// no lse further than `lse_error`, both relative to 1 + the magnitude of what is expected.
void ExpectEqualsReference(const Case& c, double out_error, double lse_error,
                           Scores scores = Scores::kOfElements) {
  const auto part = [&](const Text& text, int index, int head) {
    const std::vector<float> rows = Part(c, text, index, head);
    return scores == Scores::kOfInt8 && index < 2 ? RoundedTo8Bits(rows, c.head_size) : rows;
  };
  for (const auto& one : scores == Scores::kOfInt8 ? Int8RowAttentionImplementations(c.type)
                                                   : RowAttentionImplementations(c.type)) {
    const Case::Output got = c.Run(one);
    double worst_out = 0, worst_lse = 0;
    size_t first = 0;
    for (const Text& text : c.texts) {
      const int64_t window = text.window == kUnlimitedWindow ? -1 : text.window;
      for (int h = 0; h < c.num_heads; ++h) {
        const reference::AttentionResult want = reference::Attention(
            text.length, c.head_size, c.scale(), part(text, 0, h), part(text, 1, h),
            part(text, 2, h), reference::SlidingWindowPattern(window, text.globals, text.read));
        for (int t = 0; t < text.length; ++t) {
          const size_t row = (first + t) * c.num_heads + h;
          if (std::isinf(want.lse[t])) {
            EXPECT_EQ(got.lse[row], -INFINITY);
            for (int d = 0; d < c.head_size; ++d) ASSERT_EQ(got.out[row * c.head_size + d], 0.0f);
            continue;
          }
          worst_lse = std::max(worst_lse,
                               std::abs(want.lse[t] - got.lse[row]) / (1 + std::abs(want.lse[t])));
          ASSERT_FALSE(std::isnan(got.lse[row]));
          for (int d = 0; d < c.head_size; ++d) {
            const double expected = want.out[static_cast<size_t>(t) * c.head_size + d],
                         value = got.out[row * c.head_size + d];
            ASSERT_FALSE(std::isnan(value)) << one.name << " " << c.Describe();
            worst_out = std::max(worst_out, std::abs(expected - value) / (1 + std::abs(expected)));
          }
        }
      }
      first += text.length;
    }
    EXPECT_LT(worst_out, out_error) << one.name << " " << c.Describe();
    EXPECT_LT(worst_lse, lse_error) << one.name << " " << c.Describe();
  }
}

std::vector<uint8_t> Holes(int length, std::mt19937& random) {
  std::vector<uint8_t> read(length);
  for (uint8_t& value : read) value = random() % 4 != 0;
  return read;
}

std::vector<int> AllPositions(int length) {
  std::vector<int> positions(length);
  std::iota(positions.begin(), positions.end(), 0);
  return positions;
}

std::vector<int> Scattered(int length, int step, std::mt19937& random) {
  std::vector<int> positions;
  for (int t = static_cast<int>(random() % step); t < length;
       t += 1 + static_cast<int>(random() % (2 * step)))
    positions.push_back(t);
  return positions;
}

// Lengths around windows and tiles, with every kind of globals and of masks.
std::vector<Text> GeneratedTexts(std::mt19937& random) {
  std::vector<Text> texts;
  for (int64_t window :
       {int64_t{0}, int64_t{1}, int64_t{4}, int64_t{17}, int64_t{64}, kUnlimitedWindow}) {
    const int w = window == kUnlimitedWindow ? 64 : static_cast<int>(window);
    for (int length : {1, 2, w - 1, w, w + 1, 2 * w + 1, 2 * w + 2, 15, 16, 63, 65, 200}) {
      if (length < 1) continue;
      for (int kind = 0; kind < 8; ++kind) {
        Text text = {.length = length, .window = window};
        if (kind == 1) text.globals = {0};
        if (kind == 2) text.globals = AllPositions(length);
        if (kind >= 3) text.globals = Scattered(length, kind == 5 ? 3 : 20, random);
        if (kind == 4) text.read = Holes(length, random);
        if (kind == 5)
          text.read.assign(length, 1),
              std::fill(text.read.begin() + length / 2, text.read.end(), 0);
        // Tokens that no token sees: behind the text, as in an expanded query, and anywhere.
        if (kind == 6)
          text.read.assign(length, 1),
              std::fill(text.read.begin() + length / 2, text.read.end(), kUnseen);
        if (kind == 7) {
          text.read = Holes(length, random);
          for (uint8_t& read : text.read) read = read != 0 && random() % 3 == 0 ? kUnseen : read;
        }
        texts.push_back(std::move(text));
      }
    }
  }
  return texts;
}

TEST(SlidingWindowAttention, EqualsReference_OverGeneratedShapes) {
  std::mt19937 random(1);
  for (const Text& text : GeneratedTexts(random)) {
    Case c({text}, 2, 16, ElementType::kFloat32);
    c.FillNormal(random, 1.5f);
    ExpectEqualsReference(c, 1e-5, 1e-5);
  }
}

TEST(SlidingWindowAttention, EqualsReference_InBFloat16) {
  std::mt19937 random(2);
  for (const Text& text : GeneratedTexts(random)) {
    Case c({text}, 2, 16, ElementType::kBFloat16);
    c.FillNormal(random, 1.5f);
    ExpectEqualsReference(c, 0.012, 1e-5);  // weights and results carry 8 bits
  }
}

TEST(SlidingWindowAttention, EqualsReference_OverHeadSizes) {
  std::mt19937 random(3);
  for (int head_size : {1, 2, 7, 8, 16, 24, 32, 33, 40, 48, 63, 64, 80, 96, 128, 200}) {
    for (ElementType type : {ElementType::kFloat32, ElementType::kBFloat16}) {
      Case c({{.length = 150, .window = 33, .globals = {0, 70, 149}}}, 3, head_size, type);
      c.FillNormal(random, 1.0f);
      ExpectEqualsReference(c, type == ElementType::kFloat32 ? 1e-5 : 0.012, 1e-5);
    }
  }
}

// The same shapes with scores of int8: exactly what attention gives to q and k of 8 bits. Zeros are
// a row without a scale.
TEST(SlidingWindowAttention, Int8Scores_EqualTheReferenceOfRowsOf8Bits) {
  std::mt19937 random(10);
  for (ElementType type : {ElementType::kFloat32, ElementType::kBFloat16}) {
    const double error = type == ElementType::kFloat32 ? 1e-5 : 0.012;
    for (const Text& text : GeneratedTexts(random)) {
      Case c({text}, 2, 16, type);
      c.FillNormal(random, 1.5f);
      ExpectEqualsReference(c, error, 1e-5, Scores::kOfInt8);
    }
    for (int head_size : {1, 3, 4, 5, 15, 17, 31, 40, 64, 65, 80, 128, 200}) {
      Case c({{.length = 150, .window = 33, .globals = {0, 70, 149}}, {.length = 1}}, 3, head_size,
             type);
      c.FillNormal(random, 1.0f);
      ExpectEqualsReference(c, error, 1e-5, Scores::kOfInt8);
    }
    for (const Text& text : {Text{.length = 1200}, Text{.length = 2300, .window = 800},
                             Text{.length = 1500,
                             .window = 400,
                             .globals = Scattered(1500, 2, random),
                             .read = Holes(1500, random)}}) {
      Case c({text}, 1, 64, type);
      c.FillNormal(random, 2.0f);
      ExpectEqualsReference(c, 2 * error, 1e-5, Scores::kOfInt8);
    }
  }
}

// Keys of zeros or below the least magnitude have no scale: their scores are 0.
TEST(SlidingWindowAttention, Int8Scores_OfKeysWithoutAScale_AreZero) {
  std::mt19937 random(11);
  for (float magnitude : {0.0f, 1e-37f, 1e-30f}) {
    Case c({{.length = 70, .window = 9}}, 1, 32, ElementType::kFloat32);
    c.FillNormal(random, 1.0f);
    for (int t = 0; t < 70; t += 3)
      for (int d = 0; d < 32; ++d)
        c.texts[0].qkv[static_cast<size_t>(t) * 96 + 32 + d] *= magnitude;
    for (const auto& one : Int8RowAttentionImplementations(ElementType::kFloat32)) {
      for (const auto& plain : RowAttentionImplementations(ElementType::kFloat32)) {
        const Case::Output got = c.Run(one), want = c.Run(plain);
        for (size_t i = 0; i < got.out.size(); ++i) ASSERT_NEAR(got.out[i], want.out[i], 0.06);
      }
    }
  }
}

// Texts longer than what is packed at a time: several chunks, merged by their maxima, and several
// tasks of rows.
TEST(SlidingWindowAttention, EqualsReference_WhereKeysComeInSeveralChunks) {
  std::mt19937 random(4);
  for (ElementType type : {ElementType::kFloat32, ElementType::kBFloat16}) {
    const double error = type == ElementType::kFloat32 ? 2e-5 : 0.012;
    for (const Text& text : {Text{.length = 1200}, Text{.length = 1700, .window = 800},
                             Text{.length = 1100, .window = 256},
                             Text{.length = 1200, .window = 3, .globals = AllPositions(1200)},
                             Text{.length = 1500,
                             .window = 400,
                             .globals = Scattered(1500, 2, random),
                             .read = Holes(1500, random)}}) {
      Case c({text}, 1, 64, type);
      c.FillNormal(random, 2.0f);
      ExpectEqualsReference(c, error, 1e-5);
    }
  }
}

TEST(SlidingWindowAttention, EqualsReference_WhereScoresAreLarge) {
  std::mt19937 random(5);
  Case c({{.length = 300, .window = 40, .globals = {0}}}, 1, 64, ElementType::kFloat32);
  c.FillNormal(random, 12.0f);  // scores up to a few thousand
  ExpectEqualsReference(c, 1e-3, 1e-5);
}

std::vector<Text> MixedBatch(std::mt19937& random) {
  return {{.length = 1, .window = 5},
          {.length = 700, .window = 100, .globals = {0, 350}},
          {.length = 37, .window = kUnlimitedWindow},
          {.length = 129, .window = 2, .globals = {128}, .read = Holes(129, random)},
          {.length = 64, .window = 0}};
}

TEST(SlidingWindowAttention, EqualsReference_ForTextsOfDifferentWindows) {
  std::mt19937 random(6);
  for (ElementType type : {ElementType::kFloat32, ElementType::kBFloat16}) {
    Case c(MixedBatch(random), 2, 64, type);
    c.FillNormal(random, 1.0f);
    ExpectEqualsReference(c, type == ElementType::kFloat32 ? 1e-5 : 0.012, 1e-5);
  }
}

TEST(SlidingWindowAttention, TextInABatch_IsBitIdenticalToTheTextAlone) {
  std::mt19937 random(7);
  for (ElementType type : {ElementType::kFloat32, ElementType::kBFloat16}) {
    Case batch(MixedBatch(random), 3, 40, type);
    batch.FillNormal(random, 1.0f);
    for (const auto& one : AllImplementations(type)) {
      const Case::Output all = batch.Run(one);
      size_t first = 0;
      for (const Text& text : batch.texts) {
        const Case::Output alone = Case({text}, 3, 40, type).Run(one);
        const size_t size = static_cast<size_t>(text.length) * batch.row(),
                     lse_size = static_cast<size_t>(text.length) * 3;
        EXPECT_TRUE(
            std::equal(alone.out.begin(), alone.out.end(), all.out.begin() + first * batch.row()))
            << one.name;
        EXPECT_TRUE(std::equal(alone.lse.begin(), alone.lse.end(), all.lse.begin() + first * 3))
            << one.name;
        EXPECT_EQ(alone.out.size(), size);
        EXPECT_EQ(alone.lse.size(), lse_size);
        first += text.length;
      }
    }
  }
}

TEST(SlidingWindowAttention, TextWithoutReadKeys_IsZeros) {
  std::mt19937 random(8);
  for (ElementType type : {ElementType::kFloat32, ElementType::kBFloat16}) {
    Case c({{.length = 100, .window = 9, .globals = {0, 50}, .read = std::vector<uint8_t>(100, 0)}},
           2, 32, type);
    c.FillNormal(random, 1.0f);
    for (const auto& one : AllImplementations(type)) {
      const Case::Output output = c.Run(one);
      EXPECT_THAT(output.out, testing::Each(0.0f)) << one.name;
      EXPECT_THAT(output.lse, testing::Each(-std::numeric_limits<float>::infinity())) << one.name;
    }
  }
}

// A broken weight must not vanish in a softmax: what comes out of NaN is NaN.
TEST(SlidingWindowAttention, NaNInAQuery_IsNaNInItsRow) {
  std::mt19937 random(9);
  for (ElementType type : {ElementType::kFloat32, ElementType::kBFloat16}) {
    Case c({{.length = 80, .window = 9}}, 1, 32, type);
    c.FillNormal(random, 1.0f);
    c.texts[0].qkv[static_cast<size_t>(40) * 3 * 32 + 5] = NAN;
    for (const auto& one : AllImplementations(type)) {
      const Case::Output output = c.Run(one);
      for (int t = 0; t < 80; ++t)
        EXPECT_EQ(std::isnan(output.out[t * 32]), t == 40) << one.name << " row " << t;
    }
  }
}

}  // namespace
}  // namespace longspan::kernels
