// MaxSim over vectors of one instruction set: the loop nest is written once. A tile is kRows rows
// of the text by one panel of the question; a row's four bytes are broadcast against a word of each
// token. What an `Isa` gives:
//
//   Sums            32-bit sums of the panel's 16 tokens
//   Zero()
//   Dot(sums, word, values)   sums + the four bytes of `word` (u8) by those of each token (s8) at
//                             `values`
//   Raise(sums, offsets, scale, most)   most = max(most, float(sums - offsets) * scale), 16 of each
//
// Internal linkage on purpose, for the reason in lane_vector.h.
#pragma once

#include <algorithm>
#include <cstring>

#include "core/kernels/max_sim.h"

namespace longspan::kernels {
namespace {

template <class Isa, int kRows>
class MaxSimTile {
 public:
  explicit MaxSimTile(const MaxSimParams& params) : p_(params), question_(*params.question) {}

  void Run() const {
    for (int64_t begin = 0, unit = 0; begin < p_.num_rows; begin += p_.unit_rows, ++unit)
      RunUnit(begin, std::min(begin + p_.unit_rows, p_.num_rows),
              p_.best + unit * question_.tokens);
  }

 private:
  void RunUnit(int64_t begin, int64_t end, float* best) const {
    for (int64_t panel = 0; panel < question_.panels(); ++panel) {
      alignas(64) float most[kMaxSimPanel];
      std::fill_n(most, kMaxSimPanel, -__builtin_inff());
      int64_t row = begin;
      for (; row + kRows <= end; row += kRows) RunTile<kRows>(row, panel, most);
      for (; row < end; ++row) RunTile<1>(row, panel, most);
      const int64_t first = panel * kMaxSimPanel;
      const int64_t count = std::min(kMaxSimPanel, question_.tokens - first);
      for (int64_t i = 0; i < count; ++i) best[first + i] = most[i] * question_.scales[first + i];
    }
  }

  template <int kTileRows>
  void RunTile(int64_t row, int64_t panel, float* most) const {
    const int64_t words = question_.words();
    const QuestionWord* values = question_.values.data() + panel * words;
    const uint8_t* rows = p_.rows + row * p_.row_stride;
    typename Isa::Sums sums[kTileRows];
    for (int r = 0; r < kTileRows; ++r) sums[r] = Isa::Zero();
    for (int64_t word = 0; word < words; ++word) {
      for (int r = 0; r < kTileRows; ++r) {
        uint32_t bytes;
        std::memcpy(&bytes, rows + r * p_.row_stride + word * 4, sizeof(bytes));
        sums[r] = Isa::Dot(sums[r], bytes, values[word]);
      }
    }
    for (int r = 0; r < kTileRows; ++r)
      Isa::Raise(sums[r], question_.offsets[panel], p_.scales[row + r], most);
  }

  const MaxSimParams& p_;
  const PackedQuestion& question_;
};

}  // namespace
}  // namespace longspan::kernels
