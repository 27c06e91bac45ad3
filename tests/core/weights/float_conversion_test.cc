#include "core/weights/float_conversion.h"

#include <gmock/gmock.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace longspan {
namespace {

template <typename Stored>
std::vector<float> Convert(StoredType type, const std::vector<Stored>& stored,
                           size_t misalign = 0) {
  std::vector<std::byte> bytes(stored.size() * sizeof(Stored) + misalign);
  std::memcpy(bytes.data() + misalign, stored.data(), stored.size() * sizeof(Stored));
  std::vector<float> out(stored.size());
  ConvertToFloat32(type, std::span(bytes).subspan(misalign), out.data());
  return out;
}

// The value by the definition of the format: (-1)^s 2^(e-bias) (1 + f), subnormal where e = 0.
float ByDefinition(uint32_t bits, int exponent_bits, int fraction_bits) {
  const uint32_t fraction = bits & ((1U << fraction_bits) - 1),
                 exponent = bits >> fraction_bits & ((1U << exponent_bits) - 1);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const double sign = bits >> (exponent_bits + fraction_bits) != 0 ? -1.0 : 1.0;
  if (exponent == (1U << exponent_bits) - 1) {
    return fraction != 0 ? std::numeric_limits<float>::quiet_NaN()
                         : static_cast<float>(sign * std::numeric_limits<double>::infinity());
  }
  const double significand =
      (exponent == 0 ? 0.0 : 1.0) + fraction / static_cast<double>(1U << fraction_bits);
  return static_cast<float>(
      sign * std::ldexp(significand, static_cast<int>(exponent == 0 ? 1 : exponent) - bias));
}

TEST(ConvertToFloat32, EverySixteenBitNumberIsExact) {
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  for (const auto& [type, exponent_bits, fraction_bits] :
       {std::tuple(StoredType::kF16, 5, 10), std::tuple(StoredType::kBF16, 8, 7)}) {
    const std::vector<float> got = Convert(type, all, 1);
    for (uint32_t i = 0; i < 65536; ++i) {
      const float want = ByDefinition(i, exponent_bits, fraction_bits);
      if (std::isnan(want)) {
        ASSERT_TRUE(std::isnan(got[i])) << i;
      } else {
        ASSERT_EQ(std::bit_cast<uint32_t>(got[i]), std::bit_cast<uint32_t>(want)) << i;
      }
    }
  }
}

TEST(ConvertToFloat32, DoublesAreRoundedToNearest) {
  const std::vector<double> doubles = {0.1, -1e-300, 1e300, 16777217.0,
                                       std::numeric_limits<double>::infinity()};
  EXPECT_THAT(Convert(StoredType::kF64, doubles, 3),
              ::testing::ElementsAre(0.1F, -0.0F, std::numeric_limits<float>::infinity(),
                                     16777216.0F, std::numeric_limits<float>::infinity()));
}

TEST(ConvertToFloat32, FloatsAreCopiedBitByBit) {
  const std::vector<uint32_t> bits = {0x7FC12345, 0x80000000, 1, 0x3F800000};
  const std::vector<float> got = Convert(StoredType::kF32, bits, 1);
  for (size_t i = 0; i < bits.size(); ++i) EXPECT_EQ(std::bit_cast<uint32_t>(got[i]), bits[i]);
}

TEST(IsFloatingPoint, IntegersAreNot) {
  for (const StoredType type : {StoredType::kI64, StoredType::kI32, StoredType::kI16,
                                StoredType::kI8, StoredType::kU8, StoredType::kBool}) {
    EXPECT_FALSE(IsFloatingPoint(type)) << StoredTypeName(type);
  }
}

}  // namespace
}  // namespace longspan
