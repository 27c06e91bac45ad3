#include "core/kernels/max_sim_tile.h"

namespace longspan::kernels {
namespace {

struct PortableSums {
  struct Sums {
    int32_t of[kMaxSimPanel];
  };
  static Sums Zero() { return {}; }
  static Sums Dot(Sums sums, uint32_t word, const QuestionWord& values) {
    for (int byte = 0; byte < 4; ++byte) {
      const auto value = static_cast<int32_t>(word >> (8 * byte) & 255);
      for (int i = 0; i < kMaxSimPanel; ++i) sums.of[i] += value * values.of[i][byte];
    }
    return sums;
  }
  static void Raise(const Sums& sums, const QuestionOffsets& offsets, float scale, float* most) {
    for (int i = 0; i < kMaxSimPanel; ++i)
      most[i] = std::max(most[i], static_cast<float>(sums.of[i] - offsets.of[i]) * scale);
  }
};

}  // namespace

void MaxSimPortable(const MaxSimParams& params) { MaxSimTile<PortableSums, 1>(params).Run(); }

}  // namespace longspan::kernels
