#include "server/rpc/caller_metadata.h"

#include <gtest/gtest.h>

namespace longspan {
namespace {

TEST(CallerMetadataTest, TakesOver_WhatIsPlainAndShort) {
  EXPECT_EQ(PlainOrNothing("req-42_a.b:c", kMaxRequestIdBytes), "req-42_a.b:c");
  EXPECT_EQ(PlainOrNothing(std::string(128, 'r'), kMaxRequestIdBytes), std::string(128, 'r'));
  EXPECT_EQ(PlainOrNothing("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                           kMaxTraceparentBytes),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
}

TEST(CallerMetadataTest, LeavesOut_WhatIsLongOrNotPlain) {
  EXPECT_EQ(PlainOrNothing(std::string(129, 'r'), kMaxRequestIdBytes), "");
  for (const char* text : {"", "a b", "a\nb", "a\tb", "caf\xC3\xA9", "\x7F", "\x1B[31m"})
    EXPECT_EQ(PlainOrNothing(text, kMaxRequestIdBytes), "") << text;
  EXPECT_EQ(PlainOrNothing(std::string_view("a\0b", 3), kMaxRequestIdBytes), "");
}

TEST(CallerMetadataTest, Client_IsThePeerWithoutItsPort) {
  EXPECT_EQ(ClientOf("ipv4:10.0.0.7:51234"), "ipv4:10.0.0.7");
  EXPECT_EQ(ClientOf("ipv6:%5B::1%5D:51234"), "ipv6:%5B::1%5D");
  EXPECT_EQ(ClientOf("unix:/run/a:b.sock"), "unix:/run/a:b.sock");
  EXPECT_EQ(ClientOf(""), "");
}

}  // namespace
}  // namespace longspan
