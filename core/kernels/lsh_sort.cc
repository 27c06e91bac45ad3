#include "core/kernels/lsh_sort.h"

#include <utility>
#include <vector>

namespace longspan::kernels {
namespace {

constexpr int kDigitBits = 11;
constexpr int32_t kDigits = 1 << kDigitBits;

// One stable pass over the digit that begins at bit `shift`. Brings the slots, which come in the
// order `from` (null = 0, 1, 2, ...), into the order `to`.
void SortByDigit(const int32_t* buckets, int32_t n, int shift, const int32_t* from, int32_t* to) {
  int32_t begin[kDigits + 1] = {};
  for (int32_t i = 0; i < n; ++i) ++begin[((buckets[i] >> shift) & (kDigits - 1)) + 1];
  for (int32_t d = 0; d < kDigits; ++d) begin[d + 1] += begin[d];
  for (int32_t i = 0; i < n; ++i) {
    const int32_t slot = from ? from[i] : i;
    to[begin[(buckets[slot] >> shift) & (kDigits - 1)]++] = slot;
  }
}

}  // namespace

void LshSort(const int32_t* buckets, int32_t n, int32_t num_buckets, int32_t* slots) {
  int passes = 1;
  while (kDigitBits * passes < 31 && (int64_t{1} << (kDigitBits * passes)) < num_buckets) ++passes;
  std::vector<int32_t> other(passes > 1 ? n : 0);
  // The passes alternate between the two arrays so that the last one writes `slots`.
  int32_t* to = passes % 2 == 1 ? slots : other.data();
  const int32_t* from = nullptr;
  for (int pass = 0; pass < passes; ++pass) {
    SortByDigit(buckets, n, pass * kDigitBits, from, to);
    from = to;
    to = to == slots ? other.data() : slots;
  }
}

}  // namespace longspan::kernels
