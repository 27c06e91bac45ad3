// An answer that its caller cannot take is refused, with what it may do.
#include "server/wire/answer_size.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "core/error_details.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

TEST(AnswerSizeTest, WhatIsAllowedPasses_OneByteMoreIsRefused_WithTheWaysOut) {
  AnswerSize size(1000, "options.max_answer_bytes");
  EXPECT_TRUE(size.Add(600).ok());
  EXPECT_TRUE(size.Add(400).ok());
  const absl::Status status = size.Add(1);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(status), "options.max_answer_bytes");
  EXPECT_EQ(ReasonOf(status), "CALLER_MAX_ANSWER_BYTES");
  const std::string text(status.message());
  EXPECT_THAT(text, HasSubstr("allows 1000 bytes, and the answer has 1001 or more"));
  for (const char* way : {"grpc.max_receive_message_length", "FLOAT16", "spans", "EncodeStream"})
    EXPECT_THAT(text, HasSubstr(way));
  EXPECT_FALSE(size.Add(0).ok()) << "it stays too large";
}

TEST(AnswerSizeTest, ACallerThatSaysNothing_TakesWhatGrpcTakes) {
  EXPECT_EQ(CallersAnswerBytes(0), 4 << 20);
  EXPECT_EQ(CallersAnswerBytes(5), 5);
  AnswerSize size(CallersAnswerBytes(0), "options.max_answer_bytes");
  EXPECT_TRUE(size.Add(4 << 20).ok());
  EXPECT_THAT(std::string(size.Add(1).message()), HasSubstr("4194304 bytes (gRPC's default)"));
}

TEST(AnswerSizeTest, ADoorWithoutALimit_TakesAnySize) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(CallersAnswerBytes(std::numeric_limits<uint64_t>::max()), AnswerSize::kAnySize);
  AnswerSize size(AnswerSize::kAnySize, "none");
  EXPECT_TRUE(size.Add(kMost).ok());
  EXPECT_TRUE(size.Add(kMost).ok());
}

}  // namespace
}  // namespace longspan
