// Every implementation of QuantizeRows and DequantizeRows that this processor runs against the
// portable one, and what each of them must do at the edges.
#include <gmock/gmock.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "core/kernels/quantize.h"
#include "tests/core/kernels/elements.h"

namespace longspan::kernels {
namespace {

constexpr ElementType kTypes[] = {ElementType::kFloat32, ElementType::kBFloat16};
constexpr Activation kActivations[] = {Activation::kNone, Activation::kGelu, Activation::kGeluTanh,
                                       Activation::kRelu, Activation::kSilu, Activation::kTanh};
constexpr uint8_t kUntouched = 7;

const QuantizeImplementation kPortableQuantize = {"portable", nullptr, QuantizeRowsPortable};
const DequantizeImplementation kPortableDequantize = {"portable", nullptr, DequantizeRowsPortable};

// `row` as the middle one of three rows. Only that one is asked for; the others are NaN and must
// not be read.
std::vector<float> AmongOthers(const std::vector<float>& row) {
  std::vector<float> rows(3 * row.size(), NAN);
  std::copy(row.begin(), row.end(), rows.begin() + row.size());
  return rows;
}

// Receives q and the scale of the middle one of three rows.
struct Quantized {
  explicit Quantized(size_t width) : q(3 * width, kUntouched) {}

  // Expects that the other rows are untouched, and drops them.
  void KeepTheMiddle(const char* name) {
    const size_t width = q.size() / 3;
    EXPECT_THAT(std::vector<uint8_t>(q.begin(), q.begin() + width), testing::Each(kUntouched))
        << name;
    EXPECT_THAT(std::vector<uint8_t>(q.end() - width, q.end()), testing::Each(kUntouched)) << name;
    EXPECT_THAT(scales, testing::ElementsAre(-1, testing::_, -1)) << name;
    q = std::vector<uint8_t>(q.begin() + width, q.end() - width);
    scale = scales[1];
  }

  std::vector<uint8_t> q;
  std::vector<float> scales = {-1, -1, -1};
  float scale = -1;
};

Quantized QuantizeRow(const QuantizeImplementation& one, const std::vector<float>& row,
                      ElementType type) {
  Elements x(AmongOthers(row), type);
  Quantized result(row.size());
  one.run({.x = x.at(0),
           .x_type = type,
           .q = result.q.data(),
           .scales = result.scales.data(),
           .rows = 3,
           .width = static_cast<int64_t>(row.size())},
          1, 2);
  result.KeepTheMiddle(one.name);
  return result;
}

std::vector<float> Normal(size_t count, float deviation, std::mt19937& random) {
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

TEST(QuantizeRows, EqualsPortable_ForEveryWidthAndType) {
  std::mt19937 random(1);
  for (int width : {1, 2, 15, 16, 17, 31, 32, 33, 45, 100, 768}) {
    for (ElementType type : kTypes) {
      const std::vector<float> row = Normal(width, 2.0f, random);
      const Quantized want = QuantizeRow(kPortableQuantize, row, type);
      for (const auto& one : QuantizeImplementations()) {
        const Quantized got = QuantizeRow(one, row, type);
        EXPECT_EQ(got.q, want.q) << one.name << " width " << width;
        EXPECT_EQ(got.scale, want.scale) << one.name << " width " << width;
      }
    }
  }
}

TEST(QuantizeRows, LargestMagnitudes_Are1And255_AndHalvesGoToEven) {
  const std::vector<float> row = {127,   -127,  0,      0.5f,    1.5f,   2.5f, -0.5f,
                                  -1.5f, -2.5f, 126.5f, -126.5f, 125.5f, 0.49f};
  const std::vector<uint8_t> want = {255, 1, 128, 128, 130, 130, 128, 126, 126, 254, 2, 254, 128};
  for (size_t width : {13, 26, 39}) {
    std::vector<float> repeated;
    for (size_t i = 0; i < width; ++i) repeated.push_back(row[i % row.size()]);
    for (const auto& one : QuantizeImplementations()) {
      const Quantized got = QuantizeRow(one, repeated, ElementType::kFloat32);
      EXPECT_EQ(got.scale, 1.0f) << one.name;
      for (size_t i = 0; i < width; ++i)
        EXPECT_EQ(got.q[i], want[i % row.size()]) << one.name << " " << repeated[i];
    }
  }
}

TEST(QuantizeRows, RowOfZeros_IsAll128) {
  for (const auto& one : QuantizeImplementations()) {
    for (ElementType type : kTypes) {
      const Quantized got = QuantizeRow(one, std::vector<float>(35, 0.0f), type);
      EXPECT_THAT(got.q, testing::Each(128)) << one.name;
      EXPECT_EQ(got.scale, 0.0f) << one.name;
    }
  }
}

// A broken weight must not vanish: the scale of the row says that a value was not finite, wherever
// it lies and whatever follows it.
TEST(QuantizeRows, NaNOrInfinityAnywhere_MakesTheScaleNaN) {
  std::mt19937 random(2);
  for (ElementType type : kTypes) {
    for (float bad : {NAN, -NAN, INFINITY, -INFINITY}) {
      for (int place : {0, 15, 16, 31, 36}) {
        std::vector<float> row = Normal(37, 1.0f, random);
        row[place] = bad;
        for (const auto& one : QuantizeImplementations())
          EXPECT_TRUE(std::isnan(QuantizeRow(one, row, type).scale))
              << one.name << " " << bad << " at " << place;
      }
    }
  }
}

// From the least denormal to the largest finite number: (q - 128) scale is within half a step of
// the row, and zero for rows below 1e-36.
TEST(QuantizeRows, ComesBackWithinHalfAStep_OverAllMagnitudes) {
  std::mt19937 random(3);
  for (ElementType type : kTypes) {
    for (float largest : {FLT_TRUE_MIN, 1e-44f, 1e-40f, FLT_MIN, 1e-37f, 3.7e-37f, 3.8e-37f, 1e-36f,
                          1e-20f, 1.0f, 1e20f, 3.3e38f}) {
      std::vector<float> row(41);
      for (float& value : row)
        value = largest * std::uniform_real_distribution<float>(-1, 1)(random);
      row[20] = largest;
      const Elements x(row, type);
      const Quantized want = QuantizeRow(kPortableQuantize, row, type);
      for (const auto& one : QuantizeImplementations()) {
        const Quantized got = QuantizeRow(one, row, type);
        EXPECT_EQ(got.q, want.q) << one.name << " " << largest;
        EXPECT_EQ(got.scale, want.scale) << one.name << " " << largest;
        for (size_t i = 0; i < row.size(); ++i) {
          const double back = (got.q[i] - 128.0) * got.scale;
          ASSERT_NEAR(back, x[i], 0.51 * largest / 127 + 1e-36)
              << one.name << " " << largest << " at " << i;
        }
      }
    }
  }
}

// How far a result may be from `value`; in bfloat16 one step of rounding.
float Error(ElementType type, float value) {
  return type == ElementType::kFloat32 ? 1e-5f * (1 + std::fabs(value))
                                       : 8e-3f * std::fabs(value) + 1e-4f;
}

// One row of accumulators, as the middle one of three rows.
struct Row {
  std::vector<float> acc, offset;
  std::vector<float> gate, bias;  // empty = absent
  float scale = 1.0f;
  int width() const { return static_cast<int>(acc.size()); }

  Elements Run(const DequantizeImplementation& one, Activation activation, ElementType type) const {
    Elements out(3 * acc.size(), type);
    DequantizeParams params;
    params.out = out.at(0);
    params.out_type = type;
    Run(one, activation, params);
    std::vector<float> middle;
    for (int i = 0; i < 3 * width(); ++i) {
      if (i / width() == 1)
        middle.push_back(out[i]);
      else
        EXPECT_TRUE(out.IsUntouched(i)) << one.name << " row " << i / width();
    }
    return Elements(middle, type);
  }

  Quantized RunQuantized(const DequantizeImplementation& one, Activation activation) const {
    Quantized result(acc.size());
    DequantizeParams params;
    params.q = result.q.data();
    params.q_scales = result.scales.data();
    Run(one, activation, params);
    result.KeepTheMiddle(one.name);
    return result;
  }

  void Run(const DequantizeImplementation& one, Activation activation,
           DequantizeParams params) const {
    const std::vector<float> accs = AmongOthers(acc), gates = AmongOthers(gate);
    const std::vector<float> scales = {NAN, scale, NAN};
    std::vector<float> scratch(acc.size());
    params.main = {accs.data(), offset.data(), bias.empty() ? nullptr : bias.data()};
    if (!gate.empty()) params.gate = {gates.data(), offset.data(), nullptr};
    params.scales = scales.data();
    params.activation = activation;
    params.rows = 3;
    params.width = width();
    one.run(params, 1, 2, scratch.data());
  }
};

TEST(DequantizeRows, EqualsPortable_ForEveryActivationWidthAndType) {
  std::mt19937 random(4);
  for (int width : {1, 15, 16, 17, 32, 33, 83}) {
    for (Activation activation : kActivations) {
      for (int kind = 0; kind < 4; ++kind) {
        Row row = {.acc = Normal(width, 50.0f, random),
                   .offset = Normal(width, 1.0f, random),
                   .scale = 0.07f};
        if (kind & 1) row.gate = Normal(width, 50.0f, random);
        if (kind & 2) row.bias = Normal(width, 1.0f, random);
        for (const auto& one : DequantizeImplementations()) {
          SCOPED_TRACE(testing::Message() << one.name << " activation "
                                          << static_cast<int>(activation) << " width " << width);
          for (ElementType type : kTypes) {
            const Elements got = row.Run(one, activation, type);
            const Elements want = row.Run(kPortableDequantize, activation, type);
            for (int i = 0; i < width; ++i) ASSERT_NEAR(got[i], want[i], Error(type, want[i])) << i;
          }
          const Quantized got = row.RunQuantized(one, activation);
          const Quantized want = row.RunQuantized(kPortableDequantize, activation);
          EXPECT_NEAR(got.scale, want.scale, 1e-4 * want.scale + 1e-7);
          // Of a row that small nothing is left but the tails of the activation far below zero.
          if (want.scale < 1e-4) continue;
          for (int i = 0; i < width; ++i) ASSERT_NEAR(got.q[i], want.q[i], 1) << i;
        }
      }
    }
  }
}

// Values at which exponentials overflow or vanish, and NaN.
TEST(DequantizeRows, EqualsPortable_AtTheEdgesOfEveryActivation) {
  Row row = {.acc = {NAN,     0.0f,  -0.0f,  1e-40f, -1e-40f, 9.0f,  -9.0f,  50.0f,
                     -50.0f,  87.0f, -87.0f, 88.5f,  -88.5f,  89.5f, -89.5f, 104.0f,
                     -104.0f, 1e4f,  -1e4f,  1e18f,  -1e18f,  NAN}};
  row.offset.assign(row.acc.size(), 0.0f);
  for (Activation activation : kActivations) {
    for (const auto& one : DequantizeImplementations()) {
      for (ElementType type : kTypes) {
        const Elements got = row.Run(one, activation, type);
        const Elements want = row.Run(kPortableDequantize, activation, type);
        for (int i = 0; i < row.width(); ++i) {
          if (std::isnan(want[i]))
            EXPECT_TRUE(std::isnan(got[i]))
                << one.name << " activation " << static_cast<int>(activation) << " " << got[i];
          else
            EXPECT_NEAR(got[i], want[i], Error(type, want[i]))
                << one.name << " activation " << static_cast<int>(activation) << " of "
                << row.acc[i];
        }
      }
      EXPECT_TRUE(std::isnan(row.RunQuantized(one, activation).scale))
          << one.name << " " << static_cast<int>(activation);
    }
  }
}

// The bits are those of FromFloat, for ties, denormals, overflow to infinity and NaN too.
TEST(DequantizeRows, RoundsToBFloat16_AsFromFloat) {
  std::vector<uint32_t> patterns = {
      0x00000001, 0x00007fff, 0x00008000, 0x00008001, 0x00018000, 0x007fffff, 0x00800000,
      0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0x7f7fffff, 0x7f7f7fff, 0x7f7f8000,
      0x7f800000, 0xff800000, 0x7f800001, 0x7fc00000, 0xffc12345, 0xff7fffff, 0xbf818000};
  std::mt19937 random(5);
  while (patterns.size() < 1003) patterns.push_back(static_cast<uint32_t>(random()));
  Row row;
  for (uint32_t bits : patterns) {
    row.acc.emplace_back();
    std::memcpy(&row.acc.back(), &bits, 4);
  }
  row.offset.assign(row.acc.size(), 0.0f);
  for (const auto& one : DequantizeImplementations()) {
    const Elements got = row.Run(one, Activation::kNone, ElementType::kBFloat16);
    for (int i = 0; i < row.width(); ++i) {
      BFloat16 want;
      FromFloat(row.acc[i], &want);
      ASSERT_EQ(got.bits(i), want.bits) << one.name << " of " << std::hex << patterns[i];
    }
  }
}

}  // namespace
}  // namespace longspan::kernels
