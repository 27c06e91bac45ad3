#include "server/loaded_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/compute_threads.h"

namespace longspan {
namespace {

ServerOptions Options(int64_t replicas, int64_t threads) {
  ServerOptions options;
  options.model = LONGSPAN_FIXTURES "/longformer-windows";
  options.replicas = replicas;
  options.threads = threads;
  return options;
}

TEST(LoadModelTest, MeasuresHowToDivideTheCores_WhereNeitherReplicasNorThreadsAreSet) {
  ServerOptions options = Options(0, 0);
  const auto model = LoadModel(&options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(options.replicas * options.threads, AvailableCores());
  EXPECT_EQ(model->team_speeds.size(), AvailableCores() > 1 ? TeamCandidates(AvailableCores()).size() : 0);
  EXPECT_EQ(ComputeThreads(), options.threads);
}

TEST(LoadModelTest, MeasuresNothing_WhereSettingsDecide) {
  ServerOptions options = Options(3, 2);
  auto model = LoadModel(&options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(options.replicas, 3);
  EXPECT_EQ(options.threads, 2);
  EXPECT_TRUE(model->team_speeds.empty());
  EXPECT_EQ(ComputeThreads(), 2);

  options = Options(0, 1);  // as many replicas as such teams fit into the cores
  model = LoadModel(&options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(options.replicas, AvailableCores());
  EXPECT_EQ(options.threads, 1);
  EXPECT_TRUE(model->team_speeds.empty());

  options = Options(1, 0);
  model = LoadModel(&options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(options.threads, AvailableCores());
  EXPECT_TRUE(model->team_speeds.empty());
}

}  // namespace
}  // namespace longspan
