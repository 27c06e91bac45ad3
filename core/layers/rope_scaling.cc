#include "core/layers/rope_scaling.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

namespace longspan {
namespace {

// theta^(2i / head_size) for the first `pairs` pairs, [pairs].
at::Tensor Powers(double theta, int64_t pairs, int64_t head_size) {
  const at::Tensor exponents =
      at::arange(0, 2 * pairs, 2, at::kFloat).div(static_cast<double>(head_size));
  return at::pow(theta, exponents);
}

// The base for texts of max_positions tokens, which shorter texts share. The power of one keeps the
// rounding of the published formula.
double DynamicTheta(const RopeScaling& scaling, int64_t head_size) {
  const auto positions = static_cast<double>(scaling.max_positions);
  const double size = static_cast<double>(head_size);
  const double growth = scaling.factor * positions / positions - (scaling.factor - 1);
  return scaling.theta * std::pow(growth, size / (size - 2));
}

at::Tensor YarnFrequencies(const RopeScaling& scaling, int64_t head_size) {
  const auto size = static_cast<double>(head_size);
  // The pair, as a real number, that makes so many turns over a text of training.
  const auto pair_of_turns = [&](double turns) {
    const double positions = static_cast<double>(scaling.original_max_positions);
    return size * std::log(positions / (turns * 2 * M_PI)) / (2 * std::log(scaling.theta));
  };
  const double low = std::max(std::floor(pair_of_turns(scaling.beta_fast)), 0.0);
  double high = std::min(std::ceil(pair_of_turns(scaling.beta_slow)), size - 1);
  if (low == high) high += 0.001;
  const at::Tensor ramp =
      at::arange(head_size / 2, at::kFloat).sub(low).div(high - low).clamp(0, 1);
  const at::Tensor kept = ramp.neg().add(1);  // share of the unscaled frequency, [D/2]
  const at::Tensor powers = Powers(scaling.theta, head_size / 2, head_size);
  return powers.mul(scaling.factor).reciprocal() * kept.neg().add(1) + powers.reciprocal() * kept;
}

at::Tensor Llama3Frequencies(const RopeScaling& scaling, int64_t head_size) {
  const at::Tensor plain = Powers(scaling.theta, head_size / 2, head_size).reciprocal();
  const auto positions = static_cast<double>(scaling.original_max_positions);
  const double longest = positions / scaling.low_freq_factor;
  const double shortest = positions / scaling.high_freq_factor;
  const at::Tensor wavelengths = plain.reciprocal().mul(2 * M_PI);
  const at::Tensor scaled = at::where(wavelengths.gt(longest), plain.div(scaling.factor), plain);
  const at::Tensor smooth = wavelengths.reciprocal()
                                .mul(positions)
                                .sub(scaling.low_freq_factor)
                                .div(scaling.high_freq_factor - scaling.low_freq_factor);
  const at::Tensor smoothed =
      smooth.neg().add(1).mul(scaled).div(scaling.factor) + smooth.mul(scaled);
  const at::Tensor between =
      wavelengths.lt(shortest).logical_not().logical_and(wavelengths.gt(longest).logical_not());
  return at::where(between, smoothed, scaled);
}

at::Tensor ProportionalFrequencies(const RopeScaling& scaling, int64_t head_size) {
  const auto turning =
      static_cast<int64_t>(std::floor(scaling.rotary_share * static_cast<double>(head_size) / 2));
  const at::Tensor first = Powers(scaling.theta, turning, head_size).reciprocal();
  return at::cat({first, at::zeros({head_size / 2 - turning})}).div(scaling.factor);
}

}  // namespace

at::Tensor RopeFrequencies(const RopeScaling& scaling, int64_t head_size, bool long_text) {
  const int64_t pairs = head_size / 2;
  switch (scaling.type) {
    case RopeScaling::Type::kDefault:
      break;
    case RopeScaling::Type::kLinear:
      return Powers(scaling.theta, pairs, head_size).reciprocal().div(scaling.factor);
    case RopeScaling::Type::kDynamic:
      return Powers(DynamicTheta(scaling, head_size), pairs, head_size).reciprocal();
    case RopeScaling::Type::kYarn:
      return YarnFrequencies(scaling, head_size);
    case RopeScaling::Type::kLongrope: {
      const std::vector<double>& factors = long_text ? scaling.long_factor : scaling.short_factor;
      const at::Tensor divisors = at::tensor(factors, at::kDouble).to(at::kFloat);
      return (divisors * Powers(scaling.theta, pairs, head_size)).reciprocal();
    }
    case RopeScaling::Type::kLlama3:
      return Llama3Frequencies(scaling, head_size);
    case RopeScaling::Type::kProportional:
      return ProportionalFrequencies(scaling, head_size);
  }
  return Powers(scaling.theta, pairs, head_size).reciprocal();
}

}  // namespace longspan
