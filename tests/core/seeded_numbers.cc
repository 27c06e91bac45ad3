// LibTorch seeds its random numbers anew in each process. Here each test that links this file
// begins with a seed that is known, so that a test which fails fails again:
//
//   --gtest_random_seed=N    begins with N, 0 unless given
//   --gtest_repeat=200       each round has the next seed: a search for those that fail
#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>

namespace longspan {
namespace {

class SeededNumbers final : public testing::EmptyTestEventListener {
  void OnTestIterationStart(const testing::UnitTest& /*all*/, int iteration) override {
    iteration_ = iteration;
  }
  void OnTestSuiteStart(const testing::TestSuite& /*suite*/) override { Seed(); }
  void OnTestStart(const testing::TestInfo& /*test*/) override { Seed(); }
  void OnTestEnd(const testing::TestInfo& test) override {
    if (test.result()->Failed())
      std::printf("Its random numbers: --gtest_random_seed=%lld\n", static_cast<long long>(seed()));
  }

  int64_t seed() const { return testing::GTEST_FLAG(random_seed) + iteration_; }
  void Seed() const {
    at::Generator generator = at::detail::getDefaultCPUGenerator();
    generator.set_current_seed(static_cast<uint64_t>(seed()));
  }

  int64_t iteration_ = 0;
};

// googletest owns its listeners.
[[maybe_unused]] const bool is_added = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new SeededNumbers);
  return true;
}();

}  // namespace
}  // namespace longspan
