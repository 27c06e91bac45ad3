#include "core/layers/linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/kernels/cpu_features.h"
#include "core/layers/product_rows.h"
#include "tests/core/compute_team.h"

namespace longspan {
namespace {

const std::vector<int64_t> kRows = {1, 2, 7, 64, 500, 1025, 2000, 4096};

double RelativeError(const at::Tensor& got, const at::Tensor& want) {
  return ((got.to(at::kFloat) - want).norm() / want.norm()).item<double>();
}

at::Tensor Reference(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                     Activation activation) {
  at::Tensor y = at::linear(x.to(at::kDouble), weight.to(at::kDouble),
                            bias.defined() ? bias.to(at::kDouble) : at::Tensor());
  ApplyActivation(activation, y);
  return y.to(at::kFloat);
}

TEST(Linear, Float32_EqualsTheFormula_ForEveryNumberOfRows) {
  const at::Tensor weight = at::randn({96, 160}), bias = at::randn({96});
  const Linear linear(weight, bias, DataType::kFloat32);
  for (int64_t rows : kRows) {
    const at::Tensor x = at::randn({rows, 160});
    EXPECT_TRUE(at::allclose(linear(x), Reference(x, weight, bias, Activation::kNone), 1e-5, 1e-4))
        << rows << " rows";
  }
}

// oneDNN keeps something for each number of rows (product_rows.h).
TEST(ProductRows, AreEnough_AndFew) {
  std::set<int64_t> numbers;
  for (int64_t rows = 1; rows <= 2048; ++rows) {
    const int64_t first = FirstProductRows(rows), rest = rows - first;
    numbers.insert(ProductRows(first));
    EXPECT_GE(ProductRows(first), first);
    EXPECT_LT(rest, kMostRoundedRows);
    if (rest == 0) continue;
    numbers.insert(ProductRows(rest));
    EXPECT_GE(ProductRows(rest), rest);
  }
  EXPECT_EQ(numbers.size(), 4u + 64 + 1) << "1 to 8, up to 1,024, and 2,048";
}

TEST(Linear, FusedActivation_EqualsTheSeparateOne) {
  const at::Tensor weight = at::randn({64, 48}) / 4, bias = at::randn({64});
  for (Activation activation : {Activation::kNone, Activation::kGelu, Activation::kGeluTanh,
                                Activation::kRelu, Activation::kSilu, Activation::kTanh}) {
    for (const at::Tensor& b : {bias, at::Tensor()}) {
      const Linear linear(weight, b, DataType::kFloat32, activation);
      const at::Tensor x = at::randn({33, 48});
      EXPECT_TRUE(at::allclose(linear(x), Reference(x, weight, b, activation), 1e-5, 1e-5))
          << static_cast<int>(activation);
    }
  }
}

TEST(Linear, BFloat16_TakesBothActivationTypesAndReturnsTheSame) {
  if (const absl::Status supported = CheckDataTypeSupported(DataType::kBFloat16); !supported.ok())
    GTEST_SKIP() << supported;
  const at::Tensor weight = at::randn({96, 160}), bias = at::randn({96});
  const Linear linear(weight, bias, DataType::kBFloat16);
  for (int64_t rows : kRows) {
    const at::Tensor x = at::randn({rows, 160});
    const at::Tensor want = Reference(x, weight, bias, Activation::kNone);
    const at::Tensor y = linear(x), half = linear(x.to(at::kBFloat16));
    EXPECT_EQ(y.scalar_type(), at::kFloat);
    EXPECT_EQ(half.scalar_type(), at::kBFloat16);
    EXPECT_LT(RelativeError(y, want), 0.006);
    EXPECT_LT(RelativeError(half, want), 0.006);
  }
}

TEST(Linear, NoRows_GivesNoRows) {
  const Linear linear(at::randn({8, 4}), {}, DataType::kFloat32);
  EXPECT_EQ(linear(at::zeros({0, 4})).sizes(), (std::vector<int64_t>{0, 8}));
}

TEST(Linear, StridedInput_IsReadByItsStrides) {
  const at::Tensor weight = at::randn({8, 4});
  const Linear linear(weight, {}, DataType::kFloat32);
  const at::Tensor wide = at::randn({6, 12});
  const at::Tensor x = wide.narrow(1, 4, 4);
  EXPECT_TRUE(at::allclose(linear(x), Reference(x, weight, {}, Activation::kNone), 1e-5, 1e-5));
}

TEST(CheckDataTypeSupported, RefusesWhatTheProcessorLacks_AndNamesIt) {
  const kernels::CpuFeatures none;
  const kernels::CpuFeatures avx2{.avx2 = true};
  const kernels::CpuFeatures no_vnni{.avx512 = true, .avx512_bf16 = true};
  const kernels::CpuFeatures all{.avx512 = true, .avx512_bf16 = true, .avx512_vnni = true};
  EXPECT_TRUE(CheckDataTypeSupported(DataType::kFloat32, none).ok());
  for (DataType dtype : {DataType::kBFloat16, DataType::kInt8}) {
    EXPECT_TRUE(CheckDataTypeSupported(dtype, all).ok());
    EXPECT_EQ(CheckDataTypeSupported(dtype, none).code(), absl::StatusCode::kFailedPrecondition);
  }
  EXPECT_TRUE(CheckDataTypeSupported(DataType::kBFloat16, no_vnni).ok());
  EXPECT_TRUE(CheckDataTypeSupported(DataType::kInt8, avx2).ok());
  EXPECT_FALSE(CheckDataTypeSupported(DataType::kBFloat16, avx2).ok());
  EXPECT_THAT(std::string(CheckDataTypeSupported(DataType::kInt8, no_vnni).message()),
              testing::AllOf(testing::HasSubstr("int8"), testing::HasSubstr("AVX512_VNNI"),
                             testing::HasSubstr("AVX2"), testing::HasSubstr("use float32")));
}

TEST(ParseActivation, NamesOfTheConfigs) {
  EXPECT_EQ(*ParseActivation("gelu"), Activation::kGelu);
  EXPECT_EQ(*ParseActivation("gelu_new"), Activation::kGeluTanh);
  EXPECT_EQ(*ParseActivation("gelu_pytorch_tanh"), Activation::kGeluTanh);
  EXPECT_EQ(*ParseActivation("relu"), Activation::kRelu);
  EXPECT_EQ(*ParseActivation("swish"), Activation::kSilu);
  EXPECT_EQ(*ParseActivation("tanh"), Activation::kTanh);
  const auto unknown = ParseActivation("mish");
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(unknown.status().message()),
              ::testing::AllOf(::testing::HasSubstr("mish"), ::testing::HasSubstr("gelu_new")));
}

TEST(RowType, OfInt8_IsBFloat16WhereTheProcessorHasIt) {
  const kernels::CpuFeatures wide = {.avx2 = true, .avx512 = true, .avx512_vnni = true};
  kernels::CpuFeatures narrow = wide;
  narrow.avx512_bf16 = narrow.bfloat16_rows = true;
  for (const kernels::CpuFeatures& features : {wide, narrow}) {
    EXPECT_EQ(RowType(DataType::kFloat32, features), at::kFloat);
    EXPECT_EQ(RowType(DataType::kBFloat16, features), at::kBFloat16);
    EXPECT_FALSE(HasInt8Scores(DataType::kFloat32, features));
    EXPECT_FALSE(HasInt8Scores(DataType::kBFloat16, features));
  }
  EXPECT_EQ(RowType(DataType::kInt8, wide), at::kFloat);
  EXPECT_EQ(RowType(DataType::kInt8, narrow), at::kBFloat16);
  EXPECT_FALSE(HasInt8Scores(DataType::kInt8, wide)) << "attention stays float32 as well";
  EXPECT_TRUE(HasInt8Scores(DataType::kInt8, narrow));
  narrow.avx512_vnni = false;
  EXPECT_FALSE(HasInt8Scores(DataType::kInt8, narrow));
}

// Rows behind the ones that are written stay as they are.
TEST(Linear, Run_WritesWhereItIsTold) {
  const at::Tensor weight = at::randn({48, 32}), bias = at::randn({48});
  for (const auto& [dtype, x] : {std::pair(DataType::kFloat32, at::randn({70, 32})),
                                 std::pair(DataType::kFloat32, at::randn({1100, 32})),
                                 std::pair(DataType::kBFloat16, at::randn({1100, 32})),
                                 std::pair(DataType::kInt8, at::randn({1100, 32})),
                                 std::pair(DataType::kInt8, at::randn({70, 32}))}) {
    if (!CheckDataTypeSupported(dtype).ok()) continue;
    const Linear linear(weight, bias, dtype, Activation::kGelu);
    for (at::ScalarType type : {at::kFloat, at::kBFloat16}) {
      const at::Tensor rows = x.to(type);
      at::Tensor all = at::full({x.size(0) + 5, 48}, 7.0, type),
                 out = all.slice(0, 2, x.size(0) + 2);
      linear.Run(rows, out);
      EXPECT_TRUE(at::equal(out, linear(rows))) << DataTypeName(dtype);
      EXPECT_TRUE(all.slice(0, 0, 2).eq(7).all().item<bool>());
      EXPECT_TRUE(all.slice(0, x.size(0) + 2, x.size(0) + 5).eq(7).all().item<bool>());
    }
  }
}

}  // namespace
}  // namespace longspan
