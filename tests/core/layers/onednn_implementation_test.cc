// Which implementation oneDNN runs cannot be seen in the results: a reference loop gives the right
// ones, five thousand times slower. oneDNN prints the name where ONEDNN_VERBOSE is set before the
// process starts, so this test runs itself again and reads what it prints.
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>

#include <cstdio>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "core/kernels/packed_gemm.h"
#include "core/layers/feed_forward.h"
#include "core/layers/linear.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
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

// Runs in the child only: every number of rows up to kMixedRows.
constexpr int64_t kMixedRows = 300;
TEST(OneDnnImplementation, DISABLED_MixedRowsChild) {
  for (DataType dtype : kTypes) {
    if (!CheckDataTypeSupported(dtype).ok()) continue;
    const Linear linear(at::randn({96, 64}), at::randn({96}), dtype);
    for (int64_t rows = 1; rows <= kMixedRows; ++rows) linear(at::randn({rows, 64}));
  }
}

std::string VerboseOutput(const std::string& child_test) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  FILE* const child =
      popen(("ONEDNN_VERBOSE=1 '" + self +
             "' --gtest_also_run_disabled_tests --gtest_filter='*DISABLED_" + child_test + "' 2>&1")
                .c_str(),
            "r");
  std::string output;
  char buffer[4096];
  while (const size_t got = fread(buffer, 1, sizeof buffer, child)) output.append(buffer, got);
  EXPECT_EQ(pclose(child), 0);
  return output;
}

// The lines of int8 matrix products. Each must name the blocked kernels of oneDNN (brg_matmul); the
// instruction set behind the name differs: avx512_core_vnni, avx512_core_amx, avx10_1_512_amx.
std::vector<std::string> Int8Products(const std::string& output) {
  std::vector<std::string> products;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    const bool is_product = line.find(",exec,cpu,matmul,") != std::string::npos;
    if (is_product && line.find("src:u8") != std::string::npos) products.push_back(line);
  }
  return products;
}

TEST(OneDnnImplementation, NoShapeOfAnyType_FallsToAReferenceLoop) {
  const std::string output = VerboseOutput("Child");
  if (kernels::PackedGemmIsFastest()) {  // nothing is left to oneDNN
    EXPECT_THAT(output, Not(HasSubstr("primitive,exec,cpu")));
    return;
  }
  ASSERT_THAT(output, HasSubstr("primitive,exec,cpu"));
  EXPECT_THAT(output, Not(HasSubstr(",ref")));  // ref:any, ref_int8:any
  EXPECT_THAT(output, Not(HasSubstr(",gemm:ref")));
  if (!CheckDataTypeSupported(DataType::kInt8).ok())
    GTEST_SKIP() << "int8 is refused on this processor";
  EXPECT_THAT(Int8Products(output), AllOf(Not(IsEmpty()), Each(HasSubstr(",brg_matmul:"))));
}

// The products that the output names: everything of their lines but the time.
std::set<std::string> DifferentProducts(const std::string& output) {
  std::set<std::string> products;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    const bool is_product = line.find(",exec,cpu,matmul,") != std::string::npos ||
                            line.find(",exec,cpu,inner_product,") != std::string::npos;
    const size_t begin = line.find(",exec,cpu,");
    if (is_product) products.insert(line.substr(begin, line.rfind(',') - begin));
  }
  return products;
}

// Each different product is compiled, and the cache of them is bounded.
TEST(OneDnnImplementation, TextsOfAnyLength_NeedFewProducts) {
  const size_t products = DifferentProducts(VerboseOutput("MixedRowsChild")).size();
  // 1, 2, 4, 8 and the multiples of 16 up to 304.
  const size_t of_a_type = 4 + (kMixedRows + 15) / 16;
  EXPECT_LE(products, std::size(kTypes) * of_a_type);
  EXPECT_GE(products, kernels::PackedGemmIsFastest() ? 0 : of_a_type);
}

}  // namespace
}  // namespace longspan
