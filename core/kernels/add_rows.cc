#include "core/kernels/add_rows.h"

#include <algorithm>

#include "core/kernels/bfloat16.h"

namespace longspan::kernels {
namespace {

// How far ahead rows are prefetched. With rows of 256 floats 4 KiB are under way.
constexpr int64_t kRowsAhead = 4;

void Prefetch(const float* row, int64_t width) {
  for (int64_t i = 0; i < width; i += 16) __builtin_prefetch(row + i, /*for writing*/ 1);
}

template <class Element>
void Add(const AddRowsParams& p) {
  const auto row = [&](int64_t i) { return p.to + (p.rows ? p.rows[i] : i) * p.width; };
  for (int64_t i = 0; p.rows && i < std::min(kRowsAhead, p.count); ++i) Prefetch(row(i), p.width);
  const Element* from = static_cast<const Element*>(p.from);
  for (int64_t i = 0; i < p.count; ++i, from += p.width) {
    if (p.rows && i + kRowsAhead < p.count) Prefetch(row(i + kRowsAhead), p.width);
    float* to = row(i);
    for (int64_t j = 0; j < p.width; ++j) to[j] += ToFloat(from[j]);
  }
}

}  // namespace

void AddRows(const AddRowsParams& params) {
  params.type == ElementType::kFloat32 ? Add<float>(params) : Add<BFloat16>(params);
}

}  // namespace longspan::kernels
