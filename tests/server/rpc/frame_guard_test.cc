// The bounds of one HTTP/2 connection, on bytes that are made by hand.
#include "server/rpc/frame_guard.h"

#include <gtest/gtest.h>

#include <string>

namespace longspan {
namespace {

using Verdict = FrameGuard::Verdict;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum Type : uint8_t {
  kData,
  kHeaders,
  kPriority,
  kReset,
  kSettings,
  kPush,
  kPing,
  kGoAway,
  kWindow,
  kContinuation
};
constexpr uint8_t kEndStream = 1, kEndHeaders = 4;

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, size_t bytes) {
  std::string out;
  for (int shift = 16; shift >= 0; shift -= 8) out += static_cast<char>(bytes >> shift);
  out += static_cast<char>(type);
  out += static_cast<char>(flags);
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(stream >> shift);
  return out + std::string(bytes, '\x80');
}

class FrameGuardTest : public ::testing::Test {
 protected:
  FrameGuardTest() { EXPECT_EQ(guard_.Read(kPreface, now_), Verdict::kFine); }

  Verdict Send(const std::string& bytes) { return guard_.Read(bytes, now_); }
  // How many of `count` frames pass.
  int Passed(const std::string& frame, int count) {
    for (int i = 0; i < count; ++i) {
      if (Send(frame) != Verdict::kFine) return i;
    }
    return count;
  }

  FrameGuard::Clock::time_point now_{seconds(1'000)};
  FrameGuard guard_;
};

TEST_F(FrameGuardTest, AHeaderBlockOfTheLimitPasses_InAnyNumberOfReads) {
  std::string block = Frame(kHeaders, 0, 1, 16 << 10);
  for (int i = 0; i < 2; ++i) block += Frame(kContinuation, 0, 1, 16 << 10);
  block += Frame(kContinuation, kEndHeaders, 1, 16 << 10);
  EXPECT_EQ(Send(block), Verdict::kFine);
  for (const char byte : block) ASSERT_EQ(Send(std::string(1, byte)), Verdict::kFine);
}

TEST_F(FrameGuardTest, AByteMoreDoesNot_AndIsRefusedBeforeItsPayload) {
  EXPECT_EQ(Send(Frame(kHeaders, kEndHeaders, 1, (64 << 10) + 1).substr(0, 9)),
            Verdict::kHeaderBlock);
}

TEST_F(FrameGuardTest, ContinuationsAddUp_AndTheNextBlockBeginsAnew) {
  for (uint32_t stream = 1; stream < 100; stream += 2) {
    ASSERT_EQ(Send(Frame(kHeaders, 0, stream, 40'000)), Verdict::kFine);
    ASSERT_EQ(Send(Frame(kContinuation, kEndHeaders, stream, 20'000)), Verdict::kFine);
  }
  ASSERT_EQ(Send(Frame(kHeaders, 0, 101, 40'000)), Verdict::kFine);
  EXPECT_EQ(Send(Frame(kContinuation, 0, 101, 30'000)), Verdict::kHeaderBlock);
}

TEST_F(FrameGuardTest, ABlockInManySmallFramesIsRefused) {
  ASSERT_EQ(Send(Frame(kHeaders, 0, 1, 1)), Verdict::kFine);
  EXPECT_EQ(Passed(Frame(kContinuation, 0, 1, 1), 100), FrameGuard::kMaxHeaderFrames - 1);
}

TEST_F(FrameGuardTest, EmptyContinuationsAreRefused) {
  ASSERT_EQ(Send(Frame(kHeaders, 0, 1, 1)), Verdict::kFine);
  EXPECT_LT(Passed(Frame(kContinuation, 0, 1, 0), 100), 100);
}

TEST_F(FrameGuardTest, ResetsHaveABudgetThatFillsAgain) {
  const std::string reset = Frame(kReset, 0, 1, 4);
  EXPECT_EQ(Passed(reset, 10'000), static_cast<int>(FrameGuard::kMaxResets));
  now_ += seconds(1);
  EXPECT_NEAR(Passed(reset, 10'000), FrameGuard::kResetsPerSecond, 2);
}

TEST_F(FrameGuardTest, CallsThatAreResetSlowlyGoOnForEver) {
  for (uint32_t i = 0; i < 20'000; ++i) {
    now_ += milliseconds(3);
    ASSERT_EQ(Send(Frame(kHeaders, kEndHeaders | kEndStream, 2 * i + 1, 60)), Verdict::kFine);
    ASSERT_EQ(Send(Frame(kReset, 0, 2 * i + 1, 4)), Verdict::kFine);
  }
}

TEST_F(FrameGuardTest, EveryFrameThatMovesNothingHasABudget) {
  const std::string frames[] = {Frame(kPing, 0, 0, 8),     Frame(kPing, 1, 0, 8),
                                Frame(kSettings, 0, 0, 0), Frame(kPriority, 0, 3, 5),
                                Frame(kData, 0, 1, 0),     Frame(0xAB, 0, 1, 20),
                                Frame(kGoAway, 0, 0, 8),   Frame(kHeaders, kEndHeaders, 1, 10)};
  for (const std::string& frame : frames) {
    FrameGuard guard;
    ASSERT_EQ(guard.Read(kPreface, now_), Verdict::kFine);
    ASSERT_EQ(guard.Read(Frame(kHeaders, kEndHeaders, 1, 10), now_), Verdict::kFine);
    int passed = 0;
    while (passed < 20'000 && guard.Read(frame, now_) == Verdict::kFine) ++passed;
    EXPECT_EQ(passed, static_cast<int>(FrameGuard::kMaxIdleFrames)) << int{frame[3]};
  }
}

TEST_F(FrameGuardTest, UpdatesOfWindowsHaveALargeBudgetThatFillsAgain) {
  const std::string update = Frame(kWindow, 0, 0, 4);
  EXPECT_EQ(Passed(update, 200'000), static_cast<int>(FrameGuard::kMaxWindowUpdates));
  now_ += seconds(1);
  EXPECT_NEAR(Passed(update, 200'000), FrameGuard::kWindowUpdatesPerSecond, 2);
}

TEST_F(FrameGuardTest, FramesThatMoveDataAreFree) {
  EXPECT_EQ(Passed(Frame(kData, 0, 1, 1), 100'000), 100'000);
  EXPECT_EQ(Passed(Frame(kData, kEndStream, 1, 0), 100'000), 100'000);
  for (uint32_t stream = 1; stream < 200'000; stream += 2)
    ASSERT_EQ(Send(Frame(kHeaders, kEndHeaders, stream, 40)), Verdict::kFine);
}

}  // namespace
}  // namespace longspan
