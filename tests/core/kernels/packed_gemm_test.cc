// Every implementation of PackedGemm and PackedInt8Gemm that this processor runs against the
// definition in double precision, for every way in which a shape fails to be a multiple of a tile.
#include "core/kernels/packed_gemm.h"

#include <gmock/gmock.h>
#include <omp.h>

#include <cmath>
#include <memory>
#include <random>
#include <tuple>
#include <vector>

namespace longspan::kernels {
namespace {

constexpr float kUntouched = -77.0f;

struct Free {
  void operator()(float* p) const { std::free(p); }
};

std::vector<float> Normal(int64_t count, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

double Activate(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGelu:
      return 0.5 * x * (1 + std::erf(x * std::sqrt(0.5)));
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kSilu:
      return x / (1 + std::exp(-x));
    case Activation::kTanh:
      return std::tanh(x);
  }
  return x;
}

// One product with weights and rows of its own. The rows of x are `gap` floats wider than K, and
// NaN there.
struct Product {
  Product(int64_t rows, int64_t k, int64_t n, int64_t gap = 0, uint32_t seed = 1)
      : rows(rows), k(k), n(n), x_stride(k + gap), x(rows * (k + gap), NAN) {
    std::mt19937 random(seed);
    w = Normal(n * k, random);
    bias = Normal(n, random);
    for (int64_t r = 0; r < rows; ++r) {
      const std::vector<float> row = Normal(k, random);
      std::copy(row.begin(), row.end(), x.begin() + r * x_stride);
    }
    packed.reset(static_cast<float*>(
        std::aligned_alloc(64, (PackedGemmFloats(n, k) * sizeof(float) + 63) / 64 * 64)));
    PackGemmWeight(w.data(), n, k, packed.get());
  }

  PackedGemmParams Params(float* y) const {
    return {.x = x.data(),
            .x_stride = x_stride,
            .packed = packed.get(),
            .bias = has_bias ? bias.data() : nullptr,
            .activation = activation,
            .y = y,
            .rows = rows,
            .k = k,
            .n = n};
  }
  // The whole y by `run(params)`, which must not change what lies before and behind it.
  template <class RunFn>
  std::vector<float> Run(RunFn run) const {
    constexpr int64_t kMargin = 32;
    std::vector<float> y(rows * n + 2 * kMargin, kUntouched);
    run(Params(y.data() + kMargin));
    EXPECT_THAT(std::vector<float>(y.begin(), y.begin() + kMargin), testing::Each(kUntouched));
    EXPECT_THAT(std::vector<float>(y.end() - kMargin, y.end()), testing::Each(kUntouched));
    return {y.begin() + kMargin, y.end() - kMargin};
  }
  std::vector<float> Run(const PackedGemmImplementation& one) const {
    return Run([&](const PackedGemmParams& p) {
      one.run(p, {0, p.rows, 0, (p.n + kGemmPanel - 1) / kGemmPanel});
    });
  }
  double Want(int64_t row, int64_t column) const {
    double sum = has_bias ? bias[column] : 0;
    for (int64_t i = 0; i < k; ++i)
      sum += static_cast<double>(x[row * x_stride + i]) * w[column * k + i];
    return Activate(activation, sum);
  }
  void ExpectTheDefinition() const {
    const double tolerance = 5e-6 * (1 + std::sqrt(static_cast<double>(k)));
    for (const auto& one : PackedGemmImplementations()) {
      const std::vector<float> y = Run(one);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < n; ++c)
          ASSERT_NEAR(y[r * n + c], Want(r, c), tolerance)
              << one.name << " row " << r << " column " << c;
      }
    }
  }

  int64_t rows, k, n, x_stride;
  std::vector<float> x, w, bias;
  std::unique_ptr<float[], Free> packed;
  bool has_bias = true;
  Activation activation = Activation::kNone;
};

class PackedGemm : public testing::Test {
 protected:
  void SetUp() override {
    if (PackedGemmImplementations().empty()) GTEST_SKIP() << "this processor has no AVX2";
  }
};

TEST_F(PackedGemm, EqualsTheDefinition_ForEveryNumberOfRowsOfATile) {
  for (int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 19, 191, 192, 193, 390}) {
    SCOPED_TRACE(rows);
    const Product product(rows, 24, 33);
    product.ExpectTheDefinition();
  }
}

TEST_F(PackedGemm, EqualsTheDefinition_ForEveryDepth) {
  for (int64_t k : {1, 2, 3, 4, 7, 8, 9, 383, 384, 385, 391, 768, 769, 1000, 3072}) {
    SCOPED_TRACE(k);
    const Product product(14, k, 32);
    product.ExpectTheDefinition();
  }
}

TEST_F(PackedGemm, EqualsTheDefinition_ForEveryWidth_AndWritesNothingElse) {
  for (int64_t n : {1, 2, 8, 15, 16, 17, 24, 31, 32, 33, 48, 100}) {
    for (int64_t k : {20, 800}) {  // one depth, and several, whose sums are added up in y
      SCOPED_TRACE(testing::Message() << n << " columns, k " << k);
      const Product product(9, k, n);
      product.ExpectTheDefinition();
    }
  }
}

TEST_F(PackedGemm, RowsOfX_MayLieApart) {
  const Product product(20, 60, 40, /*gap=*/13);
  product.ExpectTheDefinition();
}

TEST_F(PackedGemm, WithoutBias_SumsBeginAtZero) {
  for (int64_t k : {20, 800}) {
    Product product(9, k, 40);
    product.has_bias = false;
    product.ExpectTheDefinition();
  }
}

TEST_F(PackedGemm, Activations_AreAppliedOnce_BehindTheLastDepth) {
  for (Activation activation : {Activation::kGelu, Activation::kGeluTanh, Activation::kRelu,
                                Activation::kSilu, Activation::kTanh}) {
    for (const auto& [k, n] :
         std::vector<std::pair<int64_t, int64_t>>{{6, 32}, {6, 21}, {800, 32}, {800, 21}}) {
      SCOPED_TRACE(testing::Message()
                   << "activation " << static_cast<int>(activation) << " k " << k << " n " << n);
      Product product(15, k, n);
      product.activation = activation;
      product.ExpectTheDefinition();
    }
  }
}

// Values at which exponentials overflow or vanish, and NaN. One product of x and 1 is x itself.
TEST_F(PackedGemm, Activations_HoldAtTheEdges) {
  const std::vector<float> edges = {0.0f,   -0.0f,   1e-40f, -1e-40f, 3.92f,  -3.92f, 5.55f,
                                    -5.55f, 9.0f,    -9.0f,  87.0f,   -87.0f, 88.5f,  -88.5f,
                                    104.0f, -104.0f, 1e4f,   -1e4f,   1e18f,  -1e18f};
  Product product(static_cast<int64_t>(edges.size()) + 1, 1, 1);
  product.has_bias = false;
  product.w[0] = 1;
  PackGemmWeight(product.w.data(), 1, 1, product.packed.get());
  std::copy(edges.begin(), edges.end(), product.x.begin());
  product.x.back() = NAN;
  for (Activation activation : {Activation::kGelu, Activation::kGeluTanh, Activation::kRelu,
                                Activation::kSilu, Activation::kTanh}) {
    product.activation = activation;
    for (const auto& one : PackedGemmImplementations()) {
      const std::vector<float> y = product.Run(one);
      EXPECT_TRUE(std::isnan(y.back())) << one.name << " " << static_cast<int>(activation);
      for (size_t i = 0; i < edges.size(); ++i) {
        const double want = Activate(activation, edges[i]);
        EXPECT_NEAR(y[i], want, 1e-6 * (1 + std::fabs(want)))
            << one.name << " " << static_cast<int>(activation) << " of " << edges[i];
      }
    }
  }
}

// A product in int8: u8 rows with a scale each, and s8 weights in -63..63 with a scale for each
// column. Sums are exact, so only the rounding of what follows them is left to differ.
struct Int8Product {
  Int8Product(int64_t rows, int64_t k, int64_t n) : rows(rows), k(k), n(n) {
    std::mt19937 random(7);
    std::uniform_int_distribution<int> bytes(0, 255), levels(-63, 63);
    std::uniform_real_distribution<float> scale(0.001f, 0.01f);
    for (int64_t i = 0; i < rows * k; ++i) x.push_back(static_cast<uint8_t>(bytes(random)));
    for (int64_t i = 0; i < n * k; ++i) w.push_back(static_cast<int8_t>(levels(random)));
    for (int64_t r = 0; r < rows; ++r) x_scales.push_back(scale(random));
    for (int64_t c = 0; c < n; ++c) w_scales.push_back(scale(random));
    bias = Normal(n, random);
    Pack();
  }
  void Pack() {
    offsets.assign(n, 0);
    for (int64_t i = 0; i < n * k; ++i) offsets[i / k] -= 128 * w[i];
    packed.reset(
        static_cast<float*>(std::aligned_alloc(64, (PackedInt8GemmBytes(n, k) + 63) / 64 * 64)));
    PackInt8GemmWeight(w.data(), n, k, reinterpret_cast<int8_t*>(packed.get()));
  }
  template <class RunFn>
  std::vector<float> Run(RunFn run) const {
    constexpr int64_t kMargin = 32;
    std::vector<float> y(rows * n + 2 * kMargin, kUntouched);
    run(PackedInt8GemmParams{.x = x.data(),
                             .x_scales = x_scales.data(),
                             .packed = reinterpret_cast<const int8_t*>(packed.get()),
                             .offsets = offsets.data(),
                             .w_scales = w_scales.data(),
                             .bias = has_bias ? bias.data() : nullptr,
                             .activation = activation,
                             .y = y.data() + kMargin,
                             .rows = rows,
                             .k = k,
                             .n = n});
    EXPECT_THAT(std::vector<float>(y.begin(), y.begin() + kMargin), testing::Each(kUntouched));
    EXPECT_THAT(std::vector<float>(y.end() - kMargin, y.end()), testing::Each(kUntouched));
    return {y.begin() + kMargin, y.end() - kMargin};
  }
  std::vector<float> Run(const PackedInt8GemmImplementation& one) const {
    return Run([&](const PackedInt8GemmParams& p) {
      one.run(p, {0, p.rows, 0, (p.n + kGemmPanel - 1) / kGemmPanel});
    });
  }
  // What y is before the activation.
  double Want(int64_t row, int64_t column) const {
    int64_t sum = 0;
    for (int64_t i = 0; i < k; ++i) sum += (x[row * k + i] - 128) * w[column * k + i];
    return static_cast<double>(x_scales[row]) * w_scales[column] * static_cast<double>(sum) +
           (has_bias ? bias[column] : 0);
  }
  void ExpectTheDefinition() const {
    for (const auto& one : PackedInt8GemmImplementations()) {
      const std::vector<float> y = Run(one);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < n; ++c) {
          const double want = Want(r, c);
          ASSERT_NEAR(y[r * n + c], Activate(activation, want), 1e-6 * (1 + std::fabs(want)))
              << one.name << " row " << r << " column " << c;
        }
      }
    }
  }

  int64_t rows, k, n;
  std::vector<uint8_t> x;
  std::vector<int8_t> w;
  std::vector<float> x_scales, w_scales, bias;
  std::vector<int32_t> offsets;
  std::unique_ptr<float[], Free> packed;
  bool has_bias = true;
  Activation activation = Activation::kNone;
};

TEST_F(PackedGemm, Int8_EqualsTheDefinition_ForEveryShape) {
  for (int64_t rows : {1, 5, 6, 14, 193}) {
    for (int64_t k : {1, 3, 4, 5, 32, 100, 1537, 3072}) {
      for (int64_t n : {1, 16, 37}) {
        SCOPED_TRACE(testing::Message() << rows << " rows, k " << k << ", n " << n);
        const Int8Product product(rows, k, n);
        product.ExpectTheDefinition();
      }
    }
  }
}

TEST_F(PackedGemm, Int8_LargestSums_DoNotSaturate) {
  Int8Product product(7, 3072, 32);
  std::fill(product.x.begin(), product.x.end(), uint8_t{255});
  for (int64_t i = 0; i < product.n * product.k; ++i) product.w[i] = i / product.k % 2 ? 63 : -63;
  product.Pack();
  product.ExpectTheDefinition();
}

TEST_F(PackedGemm, Int8_ActivationsFollowScalesAndBias) {
  for (bool has_bias : {false, true}) {
    for (Activation activation : {Activation::kGelu, Activation::kGeluTanh, Activation::kRelu,
                                  Activation::kSilu, Activation::kTanh}) {
      SCOPED_TRACE(static_cast<int>(activation));
      Int8Product product(9, 1600, 37);
      product.has_bias = has_bias;
      product.activation = activation;
      product.ExpectTheDefinition();
    }
  }
}

TEST_F(PackedGemm, Int8_TheTeamGivesWhatOneThreadGives) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(3);
  for (const auto& [rows, k, n] : std::vector<std::tuple<int64_t, int64_t, int64_t>>{
           {1100, 256, 80}, {30, 512, 400}, {1, 4, 3}}) {
    const Int8Product product(rows, k, n);
    const auto together = product.Run([](const PackedInt8GemmParams& p) { PackedInt8Gemm(p); });
    EXPECT_EQ(together, product.Run(PackedInt8GemmImplementations().front())) << rows << " rows";
  }
  omp_set_num_threads(before);
}

// QuantizeRows gives a row that is not finite the scale NaN.
TEST_F(PackedGemm, Int8_NaNScale_MakesThatRowNaN) {
  Int8Product product(8, 64, 20);
  product.activation = Activation::kRelu;
  product.x_scales[3] = NAN;
  for (const auto& one : PackedInt8GemmImplementations()) {
    const std::vector<float> y = product.Run(one);
    for (int64_t i = 0; i < static_cast<int64_t>(y.size()); ++i)
      ASSERT_EQ(std::isnan(y[i]), i / 20 == 3) << one.name << " " << i;
  }
}

// A text gets the same bits whatever else is in its batch.
TEST_F(PackedGemm, ARow_DoesNotDependOnTheOthers) {
  Product product(400, 800, 40);
  product.activation = Activation::kGelu;
  for (const auto& one : PackedGemmImplementations()) {
    const std::vector<float> together = product.Run(one);
    for (int64_t row : {0, 1, 5, 6, 191, 200, 399}) {
      Product alone(1, 800, 40);
      alone.activation = Activation::kGelu;
      std::copy_n(product.x.begin() + row * 800, 800, alone.x.begin());
      EXPECT_EQ(alone.Run(one),
                std::vector<float>(together.begin() + row * 40, together.begin() + (row + 1) * 40))
          << one.name << " row " << row;
    }
  }
}

TEST_F(PackedGemm, AThreadsPart_IsThatPartAlone) {
  const Product product(50, 800, 70);
  const GemmPart part = {.first_row = 7, .end_row = 31, .first_panel = 1, .end_panel = 3};
  for (const auto& one : PackedGemmImplementations()) {
    const std::vector<float> whole = product.Run(one);
    const std::vector<float> y = product.Run([&](const PackedGemmParams& p) { one.run(p, part); });
    for (int64_t i = 0; i < static_cast<int64_t>(y.size()); ++i) {
      const int64_t row = i / 70, panel = i % 70 / kGemmPanel;
      const bool inside = row >= 7 && row < 31 && panel >= 1 && panel < 3;
      ASSERT_EQ(y[i], inside ? whole[i] : kUntouched)
          << one.name << " row " << row << " column " << i % 70;
    }
  }
}

// Rows are shared where there are many and panels where there are few. There may be fewer panels
// than threads.
TEST_F(PackedGemm, TheTeamGivesWhatOneThreadGives) {
  const int before = omp_get_max_threads();
  for (int threads : {2, 3, 8}) {
    omp_set_num_threads(threads);
    for (const auto& [rows, k, n] : std::vector<std::tuple<int64_t, int64_t, int64_t>>{
             {1100, 256, 80}, {30, 512, 400}, {300, 1000, 16}, {1, 4, 3}}) {
      const Product product(rows, k, n);
      const auto together = product.Run([](const PackedGemmParams& p) { kernels::PackedGemm(p); });
      EXPECT_EQ(together, product.Run(PackedGemmImplementations().front()))
          << threads << " threads, " << rows << " rows";
    }
  }
  omp_set_num_threads(before);
}

TEST_F(PackedGemm, NaNInARow_StaysInThatRow) {
  Product product(14, 100, 21);
  product.activation = Activation::kRelu;
  product.x[5 * 100 + 40] = NAN;
  for (const auto& one : PackedGemmImplementations()) {
    const std::vector<float> y = product.Run(one);
    for (int64_t i = 0; i < static_cast<int64_t>(y.size()); ++i)
      ASSERT_EQ(std::isnan(y[i]), i / 21 == 5) << one.name << " " << i;
  }
}

// The last panel is filled up with zeros. An infinite x times such a zero is NaN, which must not
// reach the columns of y.
TEST_F(PackedGemm, InfiniteRows_GiveNoNaN_BesideTheFillOfTheLastPanel) {
  Product product(3, 10, 21);
  product.has_bias = false;
  for (float& value : product.x) value = INFINITY;
  for (float& value : product.w) value = std::fabs(value) + 1;
  PackGemmWeight(product.w.data(), product.n, product.k, product.packed.get());
  for (const auto& one : PackedGemmImplementations())
    EXPECT_THAT(product.Run(one), testing::Each(INFINITY)) << one.name;
}

TEST(PackedGemmFloats, AreWholePanels_AndInt8WholeWords) {
  EXPECT_EQ(PackedInt8GemmBytes(1, 5), 16 * 8);
  EXPECT_EQ(PackedInt8GemmBytes(17, 8), 32 * 8);
  EXPECT_EQ(PackedGemmFloats(1, 5), 16 * 5);
  EXPECT_EQ(PackedGemmFloats(16, 5), 16 * 5);
  EXPECT_EQ(PackedGemmFloats(17, 5), 32 * 5);
}

}  // namespace
}  // namespace longspan::kernels
