// What goes out is read back as it was. Unknown numbers are refused in input_decoder_test.
#include "server/wire/enums.h"

#include <gtest/gtest.h>

namespace longspan {
namespace {

TEST(EnumsTest, VectorFormats_ComeBackAsTheyWent) {
  for (const VectorFormat format :
       {VectorFormat::kFloat32, VectorFormat::kFloat16, VectorFormat::kBFloat16,
        VectorFormat::kInt8, VectorFormat::kBinary}) {
    const auto back = DecodeVectorFormat(WireFormat(format));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, format);
  }
}

TEST(EnumsTest, GlobalAttention_ComesBackAsItWent) {
  for (const GlobalAttention policy :
       {GlobalAttention::kNone, GlobalAttention::kCls, GlobalAttention::kPositions}) {
    const auto back = DecodeGlobalAttention(WireGlobalAttention(policy));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, policy);
  }
}

TEST(EnumsTest, KeptFormats_ComeBackAsTheyWent) {
  for (const TokenFormat format : {TokenFormat::kInt8, TokenFormat::kTwoBit}) {
    const auto back = DecodeKeptFormat(WireKeptFormat(format));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, format);
  }
  EXPECT_FALSE(DecodeKeptFormat(v1::KEPT_FORMAT_UNSPECIFIED)->has_value());
}

}  // namespace
}  // namespace longspan
