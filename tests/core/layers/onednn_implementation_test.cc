// Which implementation oneDNN runs cannot be seen in the results: a reference loop gives the right
// ones, five thousand times slower. oneDNN prints the name where ONEDNN_VERBOSE is set before the
// process starts, so this test runs itself again and reads what it prints.
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "core/kernels/packed_gemm.h"
#include "core/layers/feed_forward.h"
#include "core/layers/linear.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr DataType kTypes[] = {DataType::kFloat32, DataType::kBFloat16, DataType::kInt8};

// Runs in the child only.
TEST(OneDnnImplementation, DISABLED_Child) {
  for (DataType dtype : kTypes) {
    if (!CheckDataTypeSupported(dtype).ok()) continue;
    for (const auto& [in, out] :
         std::vector<std::pair<int64_t, int64_t>>{{384, 1536}, {1536, 384}, {768, 768}}) {
      const Linear linear(at::randn({out, in}), at::randn({out}), dtype, Activation::kGelu);
      for (int64_t rows : {1, 2, 7, 64, 500, 4096}) {
        linear(at::randn({rows, in}));
        linear(at::randn({rows, in}).to(at::kBFloat16));
      }
    }
  }
}

std::string VerboseOutput() {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  FILE* const child =
      popen(("ONEDNN_VERBOSE=1 '" + self +
             "' --gtest_also_run_disabled_tests --gtest_filter='*DISABLED_Child' 2>&1")
                .c_str(),
            "r");
  std::string output;
  char buffer[4096];
  while (const size_t got = fread(buffer, 1, sizeof buffer, child)) output.append(buffer, got);
  EXPECT_EQ(pclose(child), 0);
  return output;
}

TEST(OneDnnImplementation, NoShapeOfAnyType_FallsToAReferenceLoop) {
  const std::string output = VerboseOutput();
  if (kernels::PackedGemmIsFastest()) {  // nothing is left to oneDNN
    EXPECT_THAT(output, Not(HasSubstr("primitive,exec,cpu")));
    return;
  }
  ASSERT_THAT(output, HasSubstr("primitive,exec,cpu"));
  EXPECT_THAT(output, Not(HasSubstr(",ref")));  // ref:any, ref_int8:any
  EXPECT_THAT(output, Not(HasSubstr(",gemm:ref")));
  if (!CheckDataTypeSupported(DataType::kInt8).ok())
    GTEST_SKIP() << "int8 is refused on this processor";
  EXPECT_THAT(output, HasSubstr("brg_matmul:avx512_core_vnni"));
}

}  // namespace
}  // namespace longspan
