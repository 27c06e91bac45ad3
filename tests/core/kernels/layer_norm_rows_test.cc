// Every implementation of LayerNormRows that this processor runs against the portable one, which is
// the formula written out. layer_norm_test compares LayerNorm with a formula of its own.
#include <gmock/gmock.h>

#include <cmath>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "core/kernels/layer_norm.h"
#include "tests/core/kernels/elements.h"

namespace longspan::kernels {
namespace {

constexpr ElementType kTypes[] = {ElementType::kFloat32, ElementType::kBFloat16};

const LayerNormImplementation kPortable = {"portable", nullptr, LayerNormRowsPortable};

struct Case {
  int64_t width;
  ElementType x_type, residual_type, out_type;
  bool has_residual, has_bias;

  std::string Describe() const {
    std::ostringstream text;
    text << "width " << width << " types " << static_cast<int>(x_type)
         << static_cast<int>(residual_type) << static_cast<int>(out_type) << " residual "
         << has_residual << " bias " << has_bias;
    return text.str();
  }
};

std::vector<float> Normal(size_t count, float mean, std::mt19937& random) {
  std::normal_distribution<float> normal(mean, 1.0f);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

constexpr int64_t kRows = 4;  // the first and the last are not asked for

struct Output {
  Elements out;
};

struct Input {
  Input(const Case& c, std::mt19937& random)
      : x(Normal(kRows * c.width, 0.5f, random), c.x_type),
        residual(Normal(kRows * c.width, 0.5f, random), c.residual_type),
        weight(Normal(c.width, 0.0f, random)),
        bias(Normal(c.width, 0.0f, random)) {}
  Elements x, residual;
  std::vector<float> weight, bias;
};

Output Normalise(const Case& c, Input& input, const LayerNormImplementation& one) {
  Output output = {Elements(kRows * c.width, c.out_type)};
  std::vector<float> scratch(c.width);
  one.run({.x = input.x.at(0),
           .residual = c.has_residual ? input.residual.at(0) : nullptr,
           .out = output.out.at(0),
           .weight = input.weight.data(),
           .bias = c.has_bias ? input.bias.data() : nullptr,
           .x_type = c.x_type,
           .residual_type = c.residual_type,
           .out_type = c.out_type,
           .rows = kRows,
           .width = c.width},
          1, kRows - 1, scratch.data());
  return output;
}

// Expects equal numbers, but for the order of sums and, in bfloat16, one step of rounding, and that
// the same elements were written.
void ExpectSame(const Elements& got, const Elements& want, int64_t width) {
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(got.IsUntouched(i), want.IsUntouched(i)) << "element " << i;
    if (std::isnan(want[i])) {
      ASSERT_TRUE(std::isnan(got[i])) << "element " << i;
    } else {
      const bool wide = got.type() == ElementType::kFloat32;
      ASSERT_NEAR(got[i], want[i], (wide ? 1e-5 : 8e-3) * std::fabs(want[i]) + (wide ? 1e-5 : 1e-3))
          << "element " << i << " of rows of " << width;
    }
  }
  ASSERT_TRUE(got.GuardIsUntouched());
}

TEST(LayerNormRows, EqualsPortable_ForEveryTypeWidthAndOptionalPart) {
  std::mt19937 random(1);
  for (int64_t width : {1, 2, 15, 16, 17, 31, 32, 33, 100, 768}) {
    for (int kind = 0; kind < 32; ++kind) {
      const Case c = {width,
                      kTypes[kind & 1],
                      kTypes[kind >> 1 & 1],
                      kTypes[kind >> 2 & 1],
                      kind & 8 ? true : false,
                      kind & 16 ? true : false};
      Input input(c, random);
      const Output want = Normalise(c, input, kPortable);
      for (const auto& one : LayerNormImplementations()) {
        SCOPED_TRACE(testing::Message() << one.name << " " << c.Describe());
        const Output got = Normalise(c, input, one);
        ExpectSame(got.out, want.out, width);
      }
    }
  }
}

// The variance is summed about the mean: a large mean costs no digits of it.
TEST(LayerNormRows, EqualsPortable_WhereTheMeanIsLarge) {
  std::mt19937 random(2);
  const Case c = {90,  ElementType::kFloat32, ElementType::kFloat32, ElementType::kFloat32, false,
                  true};
  Input input(c, random);
  input.x = Elements(Normal(kRows * c.width, 4096.0f, random), c.x_type);
  const Output want = Normalise(c, input, kPortable);
  for (const auto& one : LayerNormImplementations()) {
    SCOPED_TRACE(one.name);
    const Output got = Normalise(c, input, one);
    for (size_t i = 0; i < got.out.size(); ++i) ASSERT_NEAR(got.out[i], want.out[i], 3e-3);
  }
}

TEST(LayerNormRows, NaN_StaysInItsRow) {
  std::mt19937 random(3);
  for (ElementType type : kTypes) {
    const Case c = {37, type, type, type, false, true};
    Input input(c, random);
    std::vector<float> values = Normal(kRows * c.width, 0.0f, random);
    values[c.width + 36] = NAN;
    input.x = Elements(values, type);
    for (const auto& one : LayerNormImplementations()) {
      const Output got = Normalise(c, input, one);
      for (int64_t i = c.width; i < 3 * c.width; ++i)
        ASSERT_EQ(std::isnan(got.out[i]), i < 2 * c.width) << one.name << " " << i;
    }
  }
}

}  // namespace
}  // namespace longspan::kernels
