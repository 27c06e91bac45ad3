// The device's kernels that go over rows, run on the emulated device by way of their public calls,
// against loops in double precision.
#include "tests/core/cuda/kernels/cuda_emulation.h"
#include "tests/core/cuda/kernels/emulated_storage.h"
//
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "core/cuda/kernels/activation.cu"
#include "core/cuda/kernels/layer_norm.cu"
#include "core/cuda/kernels/rotate.cu"
#include "tests/core/cuda/kernels/guarded_array.h"
#include "tests/core/cuda/kernels/reference_activation.h"
#include "tests/core/cuda/kernels/rounded_values.h"

namespace longspan::cuda {
namespace {

constexpr Storage kStorages[] = {Storage::kBfloat16, Storage::kFloat16};
constexpr Activation kActivations[] = {Activation::kNone, Activation::kGelu, Activation::kGeluTanh,
                                       Activation::kRelu, Activation::kSilu, Activation::kTanh};
constexpr double kSlack = 1e-5;

struct RowShape {
  int64_t rows;
  int width;
};
const RowShape kShapes[] = {{1, 8},    {3, 248},  {70, 256}, {5, 264}, {9, 768},
                            {2, 1024}, {4, 1304}, {3, 2048}, {2, 3080}};

class RowKernels : public testing::TestWithParam<std::tuple<Storage, RowShape>> {
 protected:
  void SetUp() override {
    if (!emulation::kCanEmulate) GTEST_SKIP() << "sanitizers do not know the stacks of fibers";
    emulation::Seed(1);
  }
  Values Random(int64_t count) { return RandomValues(random_, count, storage_, 1.5F); }
  int64_t size() const { return rows_ * width_; }

  const Storage storage_ = std::get<0>(GetParam());
  const int64_t rows_ = std::get<1>(GetParam()).rows;
  const int width_ = std::get<1>(GetParam()).width;
  std::mt19937 random_{static_cast<unsigned>(rows_ + width_)};
};
std::string NameOf(Storage storage) { return storage == Storage::kBfloat16 ? "bf16_" : "fp16_"; }

INSTANTIATE_TEST_SUITE_P(Shapes, RowKernels,
                         testing::Combine(testing::ValuesIn(kStorages), testing::ValuesIn(kShapes)),
                         [](const auto& info) {
                           const RowShape& shape = std::get<1>(info.param);
                           return NameOf(std::get<0>(info.param)) + std::to_string(shape.rows) +
                                  "x" + std::to_string(shape.width);
                         });

TEST_P(RowKernels, AddBiasActivation_IsThatOfTheSum) {
  const Values x = Random(size()), bias = Random(width_);
  const GuardedArray<uint16_t> device_bias(bias.stored);
  for (const bool with_bias : {true, false}) {
    for (const Activation activation : kActivations) {
      GuardedArray<uint16_t> values(x.stored);
      AddBiasActivationParams p;
      p.values = values.data();
      p.bias = with_bias ? device_bias.data() : nullptr;
      p.activation = activation;
      p.rows = rows_;
      p.width = width_;
      p.storage = storage_;
      ASSERT_EQ(AddBiasActivation(p, nullptr), cudaSuccess);
      std::vector<double> want;
      for (int64_t i = 0; i < size(); ++i) {
        const double b = with_bias ? bias.floats[i % width_] : 0;
        want.push_back(reference::Activate(activation, x.floats[i] + b));
      }
      ASSERT_TRUE(AreRounded(values, want, storage_, kSlack)) << static_cast<int>(activation);
    }
  }
}

TEST_P(RowKernels, GatedUnit_IsTheActivationTimesTheGate) {
  const Values both = Random(2 * size());
  const GuardedArray<uint16_t> in(both.stored);
  for (const Activation activation : kActivations) {
    GuardedArray<uint16_t> out(static_cast<size_t>(size()));
    GatedUnitParams p;
    p.both = in.data();
    p.out = out.data();
    p.activation = activation;
    p.rows = rows_;
    p.width = width_;
    p.storage = storage_;
    ASSERT_EQ(GatedUnit(p, nullptr), cudaSuccess);
    std::vector<double> want;
    for (int64_t i = 0; i < size(); ++i) {
      const int64_t at = i / width_ * 2 * width_ + i % width_;
      want.push_back(reference::Activate(activation, both.floats[at]) * both.floats[at + width_]);
    }
    ASSERT_TRUE(AreRounded(out, want, storage_, kSlack)) << static_cast<int>(activation);
  }
}

// LayerNorm of rows of in(row, column). `beta` may be empty.
std::vector<double> Normalized(const RowShape& shape, const std::vector<float>& gamma,
                               const std::vector<float>& beta, double epsilon,
                               const std::function<double(int64_t, int)>& in) {
  std::vector<double> out;
  for (int64_t r = 0; r < shape.rows; ++r) {
    double mean = 0, variance = 0;
    for (int c = 0; c < shape.width; ++c) mean += in(r, c) / shape.width;
    for (int c = 0; c < shape.width; ++c) {
      variance += (in(r, c) - mean) * (in(r, c) - mean) / shape.width;
    }
    for (int c = 0; c < shape.width; ++c) {
      out.push_back((in(r, c) - mean) / std::sqrt(variance + epsilon) * gamma[c] +
                    (beta.empty() ? 0 : beta[c]));
    }
  }
  return out;
}

// Where the result goes.
enum class Place { kElsewhere, kValues, kResidual };

TEST_P(RowKernels, AddBiasResidualNorm_IsTheLayerNormOfWhatIsGiven) {
  if (width_ > kMaxNormWidth) return;
  const Values x = Random(size()), residual = Random(size()), bias = Random(width_);
  const std::vector<float> gamma = RandomFloats(random_, width_),
                           beta = RandomFloats(random_, width_);
  const GuardedArray<uint16_t> device_bias(bias.stored);
  const GuardedArray<float> device_gamma(gamma), device_beta(beta);
  // Bits: bias, residual, beta.
  for (int given = 0; given < 8; ++given) {
    const bool has_bias = (given & 1) != 0, has_residual = (given & 2) != 0,
               has_beta = (given & 4) != 0;
    for (const Place place : {Place::kElsewhere, Place::kValues, Place::kResidual}) {
      if (place == Place::kResidual && !has_residual) continue;
      GuardedArray<uint16_t> values(x.stored), beside(residual.stored), other(x.stored.size());
      GuardedArray<uint16_t>& out = place == Place::kElsewhere ? other
                                    : place == Place::kValues  ? values
                                                               : beside;
      AddBiasResidualNormParams p;
      p.values = values.data();
      p.bias = has_bias ? device_bias.data() : nullptr;
      p.residual = has_residual ? beside.data() : nullptr;
      p.gamma = device_gamma.data();
      p.beta = has_beta ? device_beta.data() : nullptr;
      p.epsilon = 0.25F;  // large enough that it shows
      p.out = out.data();
      p.rows = rows_;
      p.width = width_;
      p.storage = storage_;
      ASSERT_EQ(AddBiasResidualNorm(p, nullptr), cudaSuccess);
      const std::vector<double> want =
          Normalized({rows_, width_}, gamma, has_beta ? beta : std::vector<float>(), 0.25,
                     [&](int64_t r, int c) {
                       return x.floats[r * width_ + c] +
                              (has_residual ? double{residual.floats[r * width_ + c]} : 0) +
                              (has_bias ? double{bias.floats[c]} : 0);
                     });
      ASSERT_TRUE(AreRounded(out, want, storage_, kSlack))
          << "given " << given << ", place " << static_cast<int>(place);
    }
  }
}

TEST_P(RowKernels, EmbedNorm_IsTheLayerNormOfTheSumOfItsTables) {
  if (width_ > kMaxNormWidth) return;
  constexpr int kWords = 17, kPositions = 11, kTypes = 3;
  const Values words = Random(int64_t{kWords} * width_),
               positions = Random(int64_t{kPositions} * width_),
               types = Random(int64_t{kTypes} * width_);
  const std::vector<float> gamma = RandomFloats(random_, width_),
                           beta = RandomFloats(random_, width_);
  const GuardedArray<uint16_t> word_table(words.stored), position_table(positions.stored),
      type_table(types.stored);
  const GuardedArray<float> device_gamma(gamma), device_beta(beta);
  GuardedArray<int32_t> ids(static_cast<size_t>(rows_)), position_ids(ids.size()),
      type_ids(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<int32_t>(random_() % kWords);
    position_ids[i] = static_cast<int32_t>(random_() % kPositions);
    type_ids[i] = static_cast<int32_t>(random_() % kTypes);
  }
  // Bits: positions, types, numbers of types, beta.
  for (int given = 0; given < 16; ++given) {
    const bool has_positions = (given & 1) != 0, has_types = (given & 2) != 0,
               has_type_ids = (given & 4) != 0, has_beta = (given & 8) != 0;
    if (has_type_ids && !has_types) continue;
    GuardedArray<uint16_t> out(static_cast<size_t>(size()));
    EmbedNormParams p;
    p.ids = ids.data();
    p.words = word_table.data();
    p.word_scale = given % 2 == 0 ? 1.0F : 2.5F;
    p.positions = has_positions ? position_table.data() : nullptr;
    p.position_ids = has_positions ? position_ids.data() : nullptr;
    p.types = has_types ? type_table.data() : nullptr;
    p.type_ids = has_type_ids ? type_ids.data() : nullptr;
    p.gamma = device_gamma.data();
    p.beta = has_beta ? device_beta.data() : nullptr;
    p.epsilon = 0.25F;
    p.out = out.data();
    p.rows = rows_;
    p.width = width_;
    p.storage = storage_;
    ASSERT_EQ(EmbedNorm(p, nullptr), cudaSuccess);
    const std::vector<double> want = Normalized(
        {rows_, width_}, gamma, has_beta ? beta : std::vector<float>(), 0.25,
        [&](int64_t r, int c) {
          const int64_t type = has_type_ids ? type_ids[r] : 0;
          return double{words.floats[int64_t{ids[r]} * width_ + c]} * p.word_scale +
                 (has_positions ? positions.floats[int64_t{position_ids[r]} * width_ + c] : 0.0F) +
                 (has_types ? types.floats[type * width_ + c] : 0.0F);
        });
    ASSERT_TRUE(AreRounded(out, want, storage_, kSlack)) << "given " << given;
  }
}

// A row of NaNs must not change a bit of another.
TEST_P(RowKernels, ASpoiltRow_LeavesOthersAsTheyAre) {
  if (width_ > kMaxNormWidth || rows_ < 2) return;
  const Values x = Random(size());
  const GuardedArray<float> ones(std::vector<float>(static_cast<size_t>(width_), 1));
  const auto norms_of = [&](const std::vector<uint16_t>& stored) {
    GuardedArray<uint16_t> values(stored);
    AddBiasResidualNormParams p;
    p.values = p.out = values.data();
    p.gamma = ones.data();
    p.rows = rows_;
    p.width = width_;
    p.storage = storage_;
    EXPECT_EQ(AddBiasResidualNorm(p, nullptr), cudaSuccess);
    return std::vector<uint16_t>(values.data(), values.data() + values.size());
  };
  const std::vector<uint16_t> want = norms_of(x.stored);
  std::vector<uint16_t> spoilt = x.stored;
  spoilt[static_cast<size_t>(width_) + 1] = ToStorage(NAN, storage_);  // in row 1
  const std::vector<uint16_t> got = norms_of(spoilt);
  for (int64_t i = 0; i < size(); ++i) {
    if (i / width_ == 1) {
      ASSERT_TRUE(std::isnan(FromStorage(got[i], storage_))) << i;
    } else {
      ASSERT_EQ(got[i], want[i]) << i;
    }
  }
}

struct RotateShape {
  int64_t tokens;
  int heads;
  int head_size;
};
const RotateShape kRotateShapes[] = {{1, 1, 2},   {7, 3, 6},  {25, 2, 24}, {5, 1, 16},  {33, 3, 64},
                                     {9, 12, 32}, {3, 5, 40}, {4, 2, 256}, {3, 40, 256}};

class RotateKernels : public testing::TestWithParam<std::tuple<Storage, RotateShape>> {};
INSTANTIATE_TEST_SUITE_P(Shapes, RotateKernels,
                         testing::Combine(testing::ValuesIn(kStorages),
                                          testing::ValuesIn(kRotateShapes)),
                         [](const auto& info) {
                           const RotateShape& shape = std::get<1>(info.param);
                           return NameOf(std::get<0>(info.param)) + std::to_string(shape.tokens) +
                                  "x" + std::to_string(shape.heads) + "x" +
                                  std::to_string(shape.head_size);
                         });

TEST_P(RotateKernels, TurnQueriesAndKeysAndLeaveValues) {
  if (!emulation::kCanEmulate) GTEST_SKIP() << "sanitizers do not know the stacks of fibers";
  emulation::Seed(1);
  const auto [storage, shape] = GetParam();
  constexpr int kPositions = 50;
  const int half = shape.head_size / 2;
  const int64_t row = int64_t{3} * shape.heads * shape.head_size;
  std::mt19937 random(static_cast<unsigned>(row));
  const Values x = RandomValues(random, shape.tokens * row, storage);
  std::vector<float> cos, sin;
  for (int position = 0; position < kPositions; ++position) {
    for (int i = 0; i < half; ++i) {
      const double angle = position * std::pow(100.0, -static_cast<double>(i) / half);
      cos.push_back(static_cast<float>(std::cos(angle)));
      sin.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  const GuardedArray<float> device_cos(cos), device_sin(sin);
  GuardedArray<int64_t> positions(static_cast<size_t>(shape.tokens));
  for (int64_t t = 0; t < shape.tokens; ++t) {
    positions[t] = t == 0 ? kPositions - 1 : static_cast<int64_t>(random() % kPositions);
  }
  GuardedArray<uint16_t> qkv(x.stored);
  RotateParams p;
  p.qkv = qkv.data();
  p.cos = device_cos.data();
  p.sin = device_sin.data();
  p.positions = positions.data();
  p.tokens = shape.tokens;
  p.heads = shape.heads;
  p.head_size = shape.head_size;
  p.storage = storage;
  ASSERT_EQ(Rotate(p, nullptr), cudaSuccess);
  for (int64_t i = 0; i < shape.tokens * row; ++i) {
    if (i % row >= row / 3 * 2) {
      ASSERT_EQ(qkv[i], x.stored[i]) << "a value, at " << i;
      continue;
    }
    const int64_t d = i % shape.head_size;
    const int64_t angle = positions[i / row] * half + d % half;
    const double other = x.floats[d < half ? i + half : i - half];
    const double want =
        double{x.floats[i]} * cos[angle] + (d < half ? -other : other) * double{sin[angle]};
    ASSERT_TRUE(IsRounded(qkv[i], want, storage, 1e-6)) << "at " << i;
  }
}

TEST(RowKernelCalls, RefuseWhatTheirKernelsDoNotTake) {
  AddBiasActivationParams activation;
  activation.rows = 1;
  activation.width = 12;
  EXPECT_EQ(AddBiasActivation(activation, nullptr), cudaErrorInvalidValue);
  alignas(16) uint16_t values[17] = {};
  activation.width = 8;
  activation.values = values + 1;
  EXPECT_EQ(AddBiasActivation(activation, nullptr), cudaErrorInvalidValue) << "is not aligned";
  GatedUnitParams gated;
  gated.rows = 1;
  gated.width = 4;
  EXPECT_EQ(GatedUnit(gated, nullptr), cudaErrorInvalidValue);
  AddBiasResidualNormParams norm;
  norm.rows = 1;
  for (const int width : {0, 12, kMaxNormWidth + 8}) {
    norm.width = width;
    EXPECT_EQ(AddBiasResidualNorm(norm, nullptr), cudaErrorInvalidValue) << width;
  }
  EmbedNormParams embed;
  embed.rows = 1;
  embed.width = kMaxNormWidth + 8;
  EXPECT_EQ(EmbedNorm(embed, nullptr), cudaErrorInvalidValue);
  RotateParams rotate;
  rotate.tokens = rotate.heads = 1;
  rotate.head_size = 7;
  EXPECT_EQ(Rotate(rotate, nullptr), cudaErrorInvalidValue);
}

TEST(RowKernelCalls, TakeNoRows) {
  AddBiasActivationParams activation;
  activation.width = 8;
  EXPECT_EQ(AddBiasActivation(activation, nullptr), cudaSuccess);
  GatedUnitParams gated;
  gated.width = 8;
  EXPECT_EQ(GatedUnit(gated, nullptr), cudaSuccess);
  AddBiasResidualNormParams norm;
  norm.width = 8;
  EXPECT_EQ(AddBiasResidualNorm(norm, nullptr), cudaSuccess);
  EmbedNormParams embed;
  embed.width = 8;
  EXPECT_EQ(EmbedNorm(embed, nullptr), cudaSuccess);
  RotateParams rotate;
  rotate.heads = 1;
  rotate.head_size = 8;
  EXPECT_EQ(Rotate(rotate, nullptr), cudaSuccess);
}

}  // namespace
}  // namespace longspan::cuda
