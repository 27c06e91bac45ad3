// When a port that does not answer counts as silent, and when as dead.
#include "server/rpc/port_watch.h"

#include <gtest/gtest.h>

#include <vector>

namespace longspan {
namespace {

TEST(PortWatchTest, SilentAfterThreeDialsInARow_DeadAfterNine_AndGoodWithTheFirstAnswer) {
  bool answers = true;
  std::vector<PortState> changes;
  PortWatch watch([&] { return answers ? absl::OkStatus() : absl::UnavailableError("nobody"); },
                  [&](PortState state, const absl::Status& last) {
                    changes.push_back(state);
                    EXPECT_EQ(last.ok(), state == PortState::kAnswers);
                  });
  const auto look = [&watch](int times) {
    for (int i = 0; i < times; ++i) watch.Look();
  };
  look(5);
  answers = false;
  look(PortWatch::kSilentAfter - 1);
  answers = true;
  look(1);
  EXPECT_TRUE(changes.empty()) << "single dials may fail";
  answers = false;
  look(PortWatch::kSilentAfter);
  EXPECT_EQ(changes, (std::vector<PortState>{PortState::kSilent}));
  answers = true;
  look(3);
  EXPECT_EQ(changes.back(), PortState::kAnswers);
  answers = false;
  look(PortWatch::kDeadAfter + 5);
  EXPECT_EQ(changes, (std::vector<PortState>{PortState::kSilent, PortState::kAnswers,
                                             PortState::kSilent, PortState::kDead}));
}

}  // namespace
}  // namespace longspan
