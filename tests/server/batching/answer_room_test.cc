// Room for answers: how large one may be, and what callers that do not read theirs leave to others.
#include "server/batching/answer_room.h"

#include <gmock/gmock.h>

#include <memory>
#include <vector>

#include "core/error_details.h"
#include "tests/server/engine/engine_fixture.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;

class AnswerRoomTest : public ::testing::Test {
 protected:
  std::unique_ptr<AnswerRoom> Room(const std::string& client, int64_t vector_bytes = 100) {
    return std::make_unique<AnswerRoom>(&admission_, client, vector_bytes);
  }
  FakeClock clock_;
  Admission admission_{{.max_answer_bytes = 1000}, MillisecondPerToken, &clock_};
};

TEST_F(AnswerRoomTest, OneAnswer_BeyondTheLimit_IsInvalid_HoweverItGrows) {
  const auto room = Room("a");
  EXPECT_TRUE(room->Add(600).ok());
  const absl::Status status = room->Add(401);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("more than 1000 bytes"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("allowed: at most 1000"));
  EXPECT_TRUE(room->Add(400).ok());
  EXPECT_EQ(Room("b")->Add(1001).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AnswerRoomTest, VectorsAndSpansCount_BeforeTheyAreComputed) {
  const auto room = Room("a", 50);
  ASSERT_TRUE(room->AddText(/*has_document_vector=*/true, /*num_spans=*/2).ok());
  EXPECT_EQ(admission_.backlog().answer_bytes,
            AnswerRoom::kTextBytes + 3 * 50 + 2 * AnswerRoom::kSpanBytes);
}

// The largest answer fits beside no other of the same client, and always leaves room for others.
TEST_F(AnswerRoomTest, AClientThatDoesNotRead_IsRefused_AndTheOthersAreNot) {
  std::vector<std::unique_ptr<AnswerRoom>> unread;
  absl::Status status;
  for (int i = 0; i < 30 && status.ok(); ++i) {
    unread.push_back(Room("slow"));
    status = unread.back()->Add(250);
  }
  EXPECT_EQ(unread.size(), 5u) << "four answers of 250 bytes fit";
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(RetryAfterOf(status).has_value());
  EXPECT_THAT(std::string(status.message()), HasSubstr("answers of 1000 bytes to this client"));
  // Each further client that does not read leaves half of what is left to the next one.
  std::vector<std::unique_ptr<AnswerRoom>> others;
  for (const int64_t bytes : {500, 250, 125, 62, 31}) {
    others.push_back(Room(absl::StrCat("client ", bytes)));
    EXPECT_FALSE(others.back()->Add(bytes + 1).ok()) << bytes;
    EXPECT_TRUE(others.back()->Add(bytes).ok()) << bytes;
  }
  for (int i = 0; i < 3; ++i) unread[i]->Close();
  EXPECT_TRUE(Room("slow")->Add(10).ok());
}

TEST_F(AnswerRoomTest, AllComesBack_AndWhatIsAddedToAClosedRoomCountsNothing) {
  const auto room = Room("a");
  ASSERT_TRUE(room->Add(700).ok());
  room->Close();
  EXPECT_EQ(admission_.backlog().answer_bytes, 0);
  EXPECT_TRUE(room->Add(700).ok()) << "the call has ended; its text is cancelled";
  EXPECT_EQ(admission_.backlog().answer_bytes, 0);
  {
    const bool added = Room("b")->Add(5).ok();
    EXPECT_TRUE(added);
  }
  EXPECT_EQ(admission_.backlog().answer_bytes, 0) << "the destructor gives it back";
}

TEST_F(AnswerRoomTest, WithoutALimit_EverythingFits) {
  Admission admission({}, MillisecondPerToken, &clock_);
  AnswerRoom room(&admission, "a", 1);
  EXPECT_TRUE(room.Add(int64_t{1} << 50).ok());
}

}  // namespace
}  // namespace longspan
