#include "core/kernels/max_sim.h"

#include <algorithm>
#include <cmath>

namespace longspan::kernels {

PackedQuestion PackQuestion(const float* question, int64_t tokens, int64_t width) {
  PackedQuestion packed{.tokens = tokens, .width = width};
  packed.values.resize(packed.panels() * packed.words());
  packed.offsets.resize(packed.panels());
  packed.scales.resize(tokens);
  for (int64_t token = 0; token < tokens; ++token) {
    const float* row = question + token * width;
    float largest = 0.0f;
    for (int64_t i = 0; i < width; ++i) largest = std::max(largest, std::abs(row[i]));
    // Below this the inverse would overflow; such a token is similar to nothing.
    if (largest < 1e-36f) continue;
    const float inverse = kMaxSimQuestionLimit / largest;
    const int64_t panel = token / kMaxSimPanel, lane = token % kMaxSimPanel;
    QuestionWord* words = packed.values.data() + panel * packed.words();
    for (int64_t i = 0; i < width; ++i) {
      const auto value = static_cast<int8_t>(std::lrint(row[i] * inverse));
      words[i / 4].of[lane][i % 4] = value;
      packed.offsets[panel].of[lane] += 128 * value;
    }
    packed.scales[token] = largest / kMaxSimQuestionLimit;
  }
  return packed;
}

std::vector<MaxSimImplementation> MaxSimImplementations() {
  return Supported<MaxSimFunction>({
      {"avx512_vnni", &CpuFeatures::avx512_vnni, MaxSimAvx512},
      {"avx2", &CpuFeatures::avx2, MaxSimAvx2},
      {"portable", nullptr, MaxSimPortable},
  });
}

void MaxSim(const MaxSimParams& params) {
  static const auto run = MaxSimImplementations().front().run;
  run(params);
}

}  // namespace longspan::kernels
