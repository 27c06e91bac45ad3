// LabelledChildren: the metrics of one family for all values of one label, looked up once. A family
// finds a child by building and hashing its labels under a lock; after construction only a pointer
// is read here. The children are exported from the start, counters with 0, so that a rate also
// sees the first event.
//
//   LabelledChildren<Counter, 2> requests(family, "method", {"single", "batch"});
//   requests[1].Increment();
//
// Thread safety: constant after construction; the metrics themselves may be used from any thread.
// The family outlives this object.
#pragma once

#include <prometheus/family.h>

#include <array>
#include <cstddef>
#include <string>

namespace longspan {

template <typename Metric, size_t N>
class LabelledChildren {
 public:
  // `arguments`: what each child is made with; a histogram's bucket bounds.
  template <typename... Arguments>
  LabelledChildren(prometheus::Family<Metric>& family, const std::string& label,
                   const std::array<std::string, N>& values, const Arguments&... arguments) {
    for (size_t i = 0; i < N; ++i) children_[i] = &family.Add({{label, values[i]}}, arguments...);
  }

  Metric& operator[](size_t index) const { return *children_[index]; }

 private:
  std::array<Metric*, N> children_;
};

}  // namespace longspan
