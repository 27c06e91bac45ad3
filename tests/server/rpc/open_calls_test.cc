// Which calls are ended while their requests are on the way, and when a drain may end. Time and
// memory are given by the test.
#include "server/rpc/open_calls.h"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/error_details.h"
#include "tests/server/batching/fake_clock.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class OpenCallsTest : public ::testing::Test {
 protected:
  // A call that waits for a message, and what it was told.
  struct Call : OpenCalls::Reader {
    void GiveUpReading(const absl::Status& status) override { ended = status; }
    OpenCalls::Handle handle;
    absl::Status ended;
  };
  std::shared_ptr<Call> Reading(const std::string& client, bool whole_request = true) {
    auto call = std::make_shared<Call>();
    call->handle = calls_.Add(RpcMethod::kEncode, client, nullptr);
    calls_.ReadBegins(call->handle, call, whole_request);
    all_.push_back(call);
    return call;
  }
  std::vector<absl::StatusCode> Codes(const std::vector<std::shared_ptr<Call>>& calls) {
    std::vector<absl::StatusCode> codes;
    for (const auto& call : calls) codes.push_back(call->ended.code());
    return codes;
  }
  void TearDown() override {
    for (const auto& call : all_) calls_.Remove(call->handle);
  }

  static constexpr auto kOk = absl::StatusCode::kOk;
  static constexpr auto kFull = absl::StatusCode::kResourceExhausted;
  FakeClock clock_;
  int64_t received_ = 0;
  std::vector<DropReason> dropped_;
  OpenCalls calls_{
      {.max_receiving_bytes = 1000,
       .max_body_time = absl::Seconds(60),
       .max_unread_time = absl::Seconds(60)},
      [this] { return received_; },
      [this](const OpenCalls::Dropped& dropped) { dropped_.push_back(dropped.reason); },
      &clock_};
  std::vector<std::shared_ptr<Call>> all_;
};

TEST_F(OpenCallsTest, WithinItsMemory_NoCallIsEnded) {
  const auto call = Reading("a"), stream = Reading("a", false);
  received_ = 1000;
  clock_.Advance(absl::Seconds(59));
  calls_.Look();
  EXPECT_THAT(Codes({call, stream}), ElementsAre(kOk, kOk));
  EXPECT_THAT(dropped_, IsEmpty());
}

TEST_F(OpenCallsTest, AMessageThatHasCome_IsInTimeHoweverLongItWaits_AndHoldsMemory) {
  const auto arrived = Reading("a"), late = Reading("b");
  clock_.Advance(absl::Seconds(59));
  calls_.ReadArrived(arrived->handle);
  clock_.Advance(absl::Seconds(2));
  calls_.Look();
  EXPECT_THAT(Codes({arrived, late}), ElementsAre(kOk, absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(calls_.num_receiving(), 1);
  received_ = 1001;
  calls_.Look();
  EXPECT_EQ(arrived->ended.code(), kFull);
}

// A stream waits for message after message: that one has come says nothing of the next.
TEST_F(OpenCallsTest, TheNextMessageHasNotCome) {
  const auto call = Reading("a");
  calls_.ReadArrived(call->handle);
  calls_.ReadEnds(call->handle);
  calls_.ReadBegins(call->handle, call, /*whole_request=*/true);
  clock_.Advance(absl::Seconds(61));
  calls_.Look();
  EXPECT_EQ(call->ended.code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(OpenCallsTest, BeyondItsMemory_TheClientWithMostPays_ItsOldestFirst) {
  const auto other = Reading("honest");  // older than all of them
  clock_.Advance(absl::Seconds(1));
  std::vector<std::shared_ptr<Call>> attack;
  for (int i = 0; i < 15; ++i) {
    attack.push_back(Reading("attacker", i % 2 == 0));
    clock_.Advance(absl::Milliseconds(10));
  }
  clock_.Advance(OpenCalls::kGrace);
  received_ = 1001;
  calls_.Look();  // an eighth of the 16 calls
  EXPECT_EQ(attack[0]->ended.code(), kFull);
  EXPECT_EQ(attack[1]->ended.code(), kFull);
  EXPECT_EQ(attack[2]->ended.code(), kOk);
  EXPECT_TRUE(RetryAfterOf(attack[0]->ended).has_value());
  EXPECT_THAT(std::string(attack[0]->ended.message()), HasSubstr("more than 1000 bytes"));
  for (int i = 0; i < 8; ++i) calls_.Look();
  EXPECT_EQ(other->ended.code(), kOk) << "while the attacker has calls";
  received_ = 0;
  const auto before = dropped_.size();
  calls_.Look();
  EXPECT_EQ(dropped_.size(), before) << "the memory is free again";
}

TEST_F(OpenCallsTest, FarBeyondItsMemory_HalfOfTheCallsEndAtOnce) {
  std::vector<std::shared_ptr<Call>> attack;
  for (int i = 0; i < 16; ++i) attack.push_back(Reading("attacker"));
  received_ = 1251;
  clock_.Advance(OpenCalls::kShortGrace);
  calls_.Look();
  EXPECT_EQ(dropped_.size(), 8u);
  calls_.Look();
  EXPECT_EQ(dropped_.size(), 12u);
}

// What is in the network already arrives within milliseconds.
TEST_F(OpenCallsTest, ACallThatHasJustBegun_IsNeverEndedForMemory) {
  received_ = 1 << 20;
  const auto quick = Reading("a");
  clock_.Advance(OpenCalls::kShortGrace - absl::Milliseconds(1));
  calls_.Look();
  EXPECT_EQ(quick->ended.code(), kOk);
  received_ = 1250;  // no more than a quarter above what is allowed
  clock_.Advance(OpenCalls::kGrace - OpenCalls::kShortGrace);
  calls_.Look();
  EXPECT_EQ(quick->ended.code(), kOk);
  calls_.ReadEnds(quick->handle);
  clock_.Advance(absl::Seconds(1));
  calls_.Look();
  EXPECT_EQ(quick->ended.code(), kOk) << "its request has come";
}

TEST_F(OpenCallsTest, ARequestThatDoesNotArrive_EndsItsCall_AndAStreamMayBeSilent) {
  const auto call = Reading("a"), stream = Reading("a", /*whole_request=*/false);
  EXPECT_EQ(calls_.num_receiving(), 1);
  clock_.Advance(absl::Seconds(60));
  calls_.Look();
  EXPECT_EQ(call->ended.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(call->ended.message()), HasSubstr("did not arrive within 1m"));
  EXPECT_EQ(stream->ended.code(), kOk);
  calls_.Look();
  EXPECT_THAT(dropped_, ElementsAre(DropReason::kSlowRequest)) << "once";
  EXPECT_EQ(calls_.num_receiving(), 0);
}

TEST_F(OpenCallsTest, ADrainWaitsForCallsThatWereLetIn_AndForNoOthers) {
  const auto accepted = calls_.Add(RpcMethod::kEncodeTokens, "a", nullptr);
  calls_.Accept(accepted);
  calls_.Accept(accepted);  // counts once
  const auto refused = calls_.Add(RpcMethod::kEncode, "a", nullptr);
  const auto health = calls_.Add(std::nullopt, "a", nullptr);
  EXPECT_EQ(calls_.open()[static_cast<size_t>(RpcMethod::kEncode)], 1);
  bool answered = true;
  std::thread drain([&] { answered = calls_.AwaitAnswered(clock_.Now() + absl::Seconds(5)); });
  clock_.AwaitWaiters(1);
  clock_.Advance(absl::Seconds(5));
  drain.join();
  EXPECT_FALSE(answered);
  EXPECT_EQ(calls_.unanswered()[static_cast<size_t>(RpcMethod::kEncodeTokens)], 1);
  calls_.Remove(accepted);
  EXPECT_TRUE(calls_.AwaitAnswered(clock_.Now()));
  calls_.Remove(refused);
  calls_.Remove(health);
  EXPECT_EQ(calls_.num_opened(), 3);
  EXPECT_EQ(calls_.open(), OpenCalls::Counts{});
}

TEST(ClientOfTest, PortsDoNotCount) {
  EXPECT_EQ(ClientOf("ipv4:10.0.0.1:5555"), "ipv4:10.0.0.1");
  EXPECT_EQ(ClientOf("ipv6:[::1]:5555"), "ipv6:[::1]");
  EXPECT_EQ(ClientOf("unix:/run/x.sock"), "unix:/run/x.sock");
}

}  // namespace
}  // namespace longspan
