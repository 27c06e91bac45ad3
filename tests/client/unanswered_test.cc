// The inputs of a stream that have no answer yet take bounded memory.
#include "client/unanswered.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <optional>
#include <string>

namespace longspan {
namespace {

TEST(UnansweredTest, WhileTheyHaveAsManyBytesAsMayBe_NoNewOneIsTaken) {
  int taken = 0;
  const auto next = [&taken]() -> std::optional<v1::Input> {
    v1::Input input;
    input.set_id(std::to_string(++taken));
    input.set_text(std::string(600, 'x'));
    return input;
  };
  Unanswered unanswered(next, /*most=*/256, /*most_bytes=*/1000);
  unanswered.Begin();
  EXPECT_TRUE(unanswered.ToSend().has_value());
  EXPECT_TRUE(unanswered.ToSend().has_value());
  auto third = std::async(std::launch::async, [&] { return unanswered.ToSend(); });
  EXPECT_EQ(third.wait_for(std::chrono::milliseconds(200)), std::future_status::timeout);
  EXPECT_EQ(taken, 2);
  v1::EncodeStreamResponse answer;
  answer.mutable_encoding()->set_id("1");
  EXPECT_TRUE(unanswered.Answer(&answer));
  EXPECT_TRUE(third.get().has_value()) << "an answer makes room";
  EXPECT_EQ(taken, 3);
}

}  // namespace
}  // namespace longspan
