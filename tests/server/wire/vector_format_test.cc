#include "server/wire/vector_format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

namespace longspan {
namespace {

TEST(VectorFormatTest, Float16RoundsToNearestEven) {
  EXPECT_EQ(ToFloat16(1.0f), 0x3c00);
  EXPECT_EQ(ToFloat16(-2.0f), 0xc000);
  EXPECT_EQ(ToFloat16(65504.0f), 0x7bff);
  EXPECT_EQ(ToFloat16(65520.0f), 0x7c00);
  EXPECT_EQ(ToFloat16(5.9604645e-8f), 0x0001);
  EXPECT_EQ(ToFloat16(1.0f + 1.0f / 2048), 0x3c00);
  EXPECT_EQ(ToFloat16(1.0f + 3.0f / 2048), 0x3c02);
  EXPECT_EQ(ToFloat16(NAN) & 0x7c00, 0x7c00);
  for (int i = 1; i < 2000; ++i) {  // against the compiler's own conversion
    const float value = std::ldexp(1.0f + static_cast<float>(i) / 2000, i % 40 - 24);
    const auto expected = static_cast<_Float16>(value);
    uint16_t bits = 0;
    std::memcpy(&bits, &expected, 2);
    EXPECT_EQ(ToFloat16(value), bits) << value;
  }
}

TEST(VectorFormatTest, PackedFormsAreLittleEndian) {
  const std::vector<float> values = {1, -0.5f, 0, 0.25f, 2, -1, 0, 0, 3};
  std::string out;
  float scale = 0;
  AppendPacked(values, VectorFormat::kBFloat16, &out, &scale);
  EXPECT_EQ(out.substr(0, 4), std::string("\x80\x3f\x00\xbf", 4));
  out.clear();
  AppendPacked(values, VectorFormat::kInt8, &out, &scale);
  EXPECT_FLOAT_EQ(scale, 3.0f / 127);
  EXPECT_EQ(static_cast<int8_t>(out[8]), 127);
  EXPECT_EQ(static_cast<int8_t>(out[1]), -21);
  out.clear();
  AppendPacked(values, VectorFormat::kBinary, &out, &scale);
  EXPECT_EQ(out, std::string("\x98\x80", 2));
}

}  // namespace
}  // namespace longspan
