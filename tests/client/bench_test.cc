#include "client/bench.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace longspan {
namespace {

TEST(BenchTest, DrawLength_KeepsTheProfilesMedianAndTheModelsLimit) {
  const std::vector<std::pair<const char*, double>> medians = {{"chat", 40}, {"rag", 190}, {"contracts", 6000}, {"books", 40000}};
  for (const auto& [profile, median] : medians) {
    std::mt19937_64 random(1);
    std::vector<int64_t> lengths;
    for (int i = 0; i < 4001; ++i) lengths.push_back(DrawLength(profile, 0, &random));
    std::sort(lengths.begin(), lengths.end());
    EXPECT_NEAR(static_cast<double>(lengths[2000]), median, 0.08 * median) << profile;
    EXPECT_GE(lengths.front(), 1);
    for (int i = 0; i < 100; ++i) EXPECT_LE(DrawLength(profile, 101, &random), 101);
  }
}

TEST(BenchTest, AServerThatIsNotThereIsAnError) {
  const CommonOptions common{.client = {.server = "127.0.0.1:1"}, .deadline = absl::Seconds(1)};
  EXPECT_FALSE(RunBench(common, {.seconds = 0.1}).ok());
}

}  // namespace
}  // namespace longspan
