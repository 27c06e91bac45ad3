#include "core/compute_teams.h"

#include <gmock/gmock.h>

#include <thread>

#include "core/runtime/compute_threads.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;

TEST(TeamCandidatesTest, DivideTheCoresFromOneTeamToOneReplicaACore) {
  EXPECT_THAT(TeamCandidates(1), ElementsAre(ComputeTeams{1, 1}));
  EXPECT_THAT(TeamCandidates(2), ElementsAre(ComputeTeams{1, 2}, ComputeTeams{2, 1}));
  EXPECT_THAT(TeamCandidates(6),
              ElementsAre(ComputeTeams{1, 6}, ComputeTeams{2, 3}, ComputeTeams{6, 1}));
  EXPECT_THAT(TeamCandidates(8), ElementsAre(ComputeTeams{1, 8}, ComputeTeams{2, 4},
                                             ComputeTeams{4, 2}, ComputeTeams{8, 1}));
  EXPECT_THAT(TeamCandidates(32), ElementsAre(ComputeTeams{1, 32}, ComputeTeams{2, 16},
                                              ComputeTeams{4, 8}, ComputeTeams{8, 4}));
}

TEST(TeamCandidatesTest, LeaveOutTeamsThatAreLargerThanCanBeHad) {
  EXPECT_THAT(TeamCandidates(8, 2), ElementsAre(ComputeTeams{4, 2}, ComputeTeams{8, 1}));
  EXPECT_THAT(TeamCandidates(2, 1), ElementsAre(ComputeTeams{2, 1}));
}

TEST(ChooseTeamsTest, TheSmallerTeamsWin_WhereTheyAreNearlyAsFast) {
  const TeamSpeed speeds[] = {{{1, 4}, 900}, {{2, 2}, 1000}, {{4, 1}, 960}};
  EXPECT_EQ(ChooseTeams(speeds), (ComputeTeams{4, 1}));
}

TEST(ChooseTeamsTest, TheFasterDivisionWins_WhereSmallerTeamsAreSlower) {
  const TeamSpeed speeds[] = {{{1, 4}, 960}, {{2, 2}, 1000}, {{4, 1}, 900}};
  EXPECT_EQ(ChooseTeams(speeds), (ComputeTeams{2, 2}));
}

class ReplicasTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto loaded = Encoder::Load(LONGSPAN_FIXTURES "/longformer-windows");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    encoder_ = *std::move(loaded);
  }
  void TearDown() override { SetComputeThreads(0); }

  std::vector<float> Encode(int32_t num_tokens) const {
    std::vector<int32_t> ids(num_tokens);
    for (int32_t i = 0; i < num_tokens; ++i) ids[i] = 3 + (i * 7 + num_tokens) % 40;
    TokenBatch batch;
    batch.Add({.token_ids = ids});
    const auto results = encoder_->Encode(batch, std::vector<EncodeOptions>(1));
    EXPECT_TRUE(results[0].ok()) << results[0].status();
    return results[0].ok() ? results[0]->vector : std::vector<float>();
  }

  std::unique_ptr<Encoder> encoder_;
};

// Passes at once share the weights, oneDNN's primitives and the arena; each thread has its own
// team.
TEST_F(ReplicasTest, PassesAtOnce_GiveWhatOneTeamGives_InEitherDivision) {
  constexpr int kTexts = 24;
  SetComputeThreads(2);
  std::vector<std::vector<float>> alone;
  for (int text = 0; text < kTexts; ++text) alone.push_back(Encode(5 + text));
  for (const ComputeTeams& teams : {ComputeTeams{2, 1}, ComputeTeams{4, 1}, ComputeTeams{2, 2}}) {
    SetComputeThreads(teams.threads);
    std::vector<std::vector<float>> at_once(kTexts);
    std::vector<std::thread> replicas;
    for (int replica = 0; replica < teams.replicas; ++replica) {
      replicas.emplace_back([&, replica] {
        for (int text = replica; text < kTexts; text += teams.replicas)
          at_once[text] = Encode(5 + text);
      });
    }
    for (std::thread& replica : replicas) replica.join();
    for (int text = 0; text < kTexts; ++text) {
      EXPECT_THAT(at_once[text], ::testing::Pointwise(::testing::FloatNear(1e-6), alone[text]))
          << teams.replicas << " x " << teams.threads << ", text " << text;
    }
  }
}

TEST_F(ReplicasTest, MeasureTeams_GivesEachCandidateASpeed) {
  const ComputeTeams candidates[] = {{1, 2}, {2, 1}};
  const auto speeds = MeasureTeams(*encoder_, candidates);
  ASSERT_TRUE(speeds.ok()) << speeds.status();
  ASSERT_EQ(speeds->size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ((*speeds)[i].teams, candidates[i]);
    EXPECT_GT((*speeds)[i].tokens_per_second, 0);
  }
}

}  // namespace
}  // namespace longspan
