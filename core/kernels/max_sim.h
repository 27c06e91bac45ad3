// The inner loop of late interaction: of each run of a text's tokens, the largest dot product with
// each token of a question (MaxSim; ColBERT, arXiv 2004.12832, sec. 3.3).
//
//   best[unit][i] = max over the rows r of the unit of row_scale_r * question_scale_i * (d_r . q_i)
//   unit = `unit_rows` consecutive rows; the last may be shorter
//
// Whoever calls chooses what a passage is: the best of several units is the largest of each column,
// so passages that overlap cost nothing more.
//
// The text's rows are u8 with a scale each, as QuantizeRows makes them (quantize.h: 128 is zero).
// The question is packed once. Its values take seven bits, -63..63: then the sum of two products of
// u8 by s8 fits into 16 bits, which AVX2 adds them in, and all implementations give the same bits.
// Of random unit vectors of 384 values a dot product is wrong by 0.0008 (standard deviation).
//
// Runs on the calling thread. Cost O(rows · width · question tokens), no scratch.
// Proven, one implementation at a time, by max_sim_test.
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels/implementation.h"

namespace longspan::kernels {

// Question tokens of a panel: the lanes of the widest vector.
constexpr int64_t kMaxSimPanel = 16;
constexpr int kMaxSimQuestionLimit = 63;  // the largest magnitude of a packed value

// Four values of each token of a panel, and one sum of each: a vector's worth.
struct alignas(64) QuestionWord {
  int8_t of[kMaxSimPanel][4];
};
struct alignas(64) QuestionOffsets {
  int32_t of[kMaxSimPanel];
};

// A question, packed for MaxSim.
struct PackedQuestion {
  int64_t tokens = 0;
  int64_t width = 0;
  int64_t panels() const { return (tokens + kMaxSimPanel - 1) / kMaxSimPanel; }
  int64_t words() const { return (width + 3) / 4; }  // of four values

  std::vector<QuestionWord> values;      // [panels][words]; zeros behind the tokens and the width
  std::vector<QuestionOffsets> offsets;  // [panels] 128 times the sum of a token's values
  std::vector<float> scales;             // [tokens]
};

// `question`: [tokens, width], finite.
PackedQuestion PackQuestion(const float* question, int64_t tokens, int64_t width);

struct MaxSimParams {
  const PackedQuestion* question = nullptr;
  const uint8_t* rows = nullptr;  // [num_rows, row_stride]; what lies behind the width is ignored
  int64_t row_stride = 0;         // bytes: at least the width rounded up to 4
  const float* scales = nullptr;  // [num_rows]
  int64_t num_rows = 0;
  int64_t unit_rows = 0;
  float* best = nullptr;  // [units, tokens]
};

// All scales are finite.
void MaxSim(const MaxSimParams& params);

void MaxSimPortable(const MaxSimParams& params);
void MaxSimAvx2(const MaxSimParams& params);
void MaxSimAvx512(const MaxSimParams& params);

using MaxSimFunction = void(const MaxSimParams& params);
using MaxSimImplementation = Implementation<MaxSimFunction>;
// The implementations that this processor runs, the preferred first. MaxSim uses the first.
std::vector<MaxSimImplementation> MaxSimImplementations();

}  // namespace longspan::kernels
