// A program of tests that includes this joins the compute team before its tests, as Encoder does
// before a pass: where OpenMP has fewer threads than cores (OMP_THREAD_LIMIT), products are planned
// for those that come.
#pragma once

#include <gtest/gtest.h>

#include "core/runtime/compute_threads.h"

namespace longspan {

class ComputeTeamEnvironment : public testing::Environment {
 public:
  void SetUp() override {
    SetComputeThreads(0);
    ASSERT_TRUE(JoinComputeTeam().ok());
  }
};

inline testing::Environment* const kComputeTeamEnvironment =
    testing::AddGlobalTestEnvironment(new ComputeTeamEnvironment);

}  // namespace longspan
