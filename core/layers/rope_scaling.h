// RopeScaling: how the frequencies of rotary positions are made from a base theta, and scaled for
// texts longer than those of training. D is the size of a head, i = 0 .. D/2 - 1 a pair of values,
// f = theta^(-2i / D) its unscaled frequency in radians per position:
//
//   default       f
//   linear        f / factor                                  (position interpolation, 2306.15595)
//   dynamic       theta grows with the text; a text within max_positions has f
//   yarn          f / factor for slow pairs, f for fast ones, a ramp between; cosines and sines are
//                 multiplied by an attention factor           (YaRN, 2309.00071)
//   longrope      f / short_factor[i], and f / long_factor[i] for texts longer than
//                 original_max_positions; attention factor    (LongRoPE, 2402.13753)
//   llama3        f / factor for long wavelengths, f for short ones, smoothed between
//   proportional  f / factor for the first share of the pairs, 0 for the others
//
// All steps are float32 or double where transformers 5.23 has them so (modeling_rope_utils.py), in
// the same order, so that angles are equal to the last bit. Plain values and a pure function.
// Proven by checkpoint_keys_test, on vectors of transformers.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace longspan {

struct RopeScaling {
  enum class Type { kDefault, kLinear, kDynamic, kYarn, kLongrope, kLlama3, kProportional };

  Type type = Type::kDefault;
  double theta = 10000.0;     // base of the frequencies
  double factor = 1.0;        // all but default and longrope
  int64_t max_positions = 0;  // tokens: the longest text of the model
  int64_t original_max_positions =
      0;                             // tokens: the longest text of training; yarn, longrope, llama3
  double attention_factor = 1.0;     // of cosines and sines; yarn, longrope
  double beta_fast = 32.0;           // turns over a text of training; yarn
  double beta_slow = 1.0;            // turns over a text of training; yarn
  std::vector<double> short_factor;  // [D/2]; longrope
  std::vector<double> long_factor;   // [D/2]; longrope
  double low_freq_factor = 1.0;      // llama3
  double high_freq_factor = 4.0;     // llama3
  double rotary_share = 1.0;         // of the pairs that turn, above 0; proportional

  // Whether a text of so many tokens has other frequencies than a short one.
  bool IsLong(int64_t num_tokens) const {
    return type == Type::kLongrope && num_tokens > original_max_positions;
  }
};

// Frequencies of the D/2 pairs in radians per position, [D/2] float32, for short or long texts.
at::Tensor RopeFrequencies(const RopeScaling& scaling, int64_t head_size, bool long_text);

}  // namespace longspan
