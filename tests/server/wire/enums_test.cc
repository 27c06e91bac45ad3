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

}  // namespace
}  // namespace longspan
