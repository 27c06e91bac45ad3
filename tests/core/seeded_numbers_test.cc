// That the random numbers of a test are the same each time it runs.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

namespace longspan {
namespace {

// Two tests, since the second one begins after numbers have been drawn.
void ExpectNumbersOfTheSeed() {
  const at::Tensor drawn = at::randn({8});
  at::Generator generator = at::detail::getDefaultCPUGenerator();
  generator.set_current_seed(testing::GTEST_FLAG(random_seed));
  EXPECT_TRUE(at::equal(drawn, at::randn({8})));
}

TEST(SeededNumbersTest, ATestBeginsWithTheSeed) { ExpectNumbersOfTheSeed(); }
TEST(SeededNumbersTest, AndSoDoesTheNextOne) { ExpectNumbersOfTheSeed(); }

}  // namespace
}  // namespace longspan
