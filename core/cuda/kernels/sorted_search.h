// Search in a sorted array, for kernels and for the processor. Proven by sorted_search_test.
#pragma once

#include <cstdint>

#include "core/cuda/kernels/host_device.h"

namespace longspan::cuda {

// The first place in [begin, end) for which is_behind(place) holds, or end. It must hold for all
// places behind such a one.
template <typename IsBehind>
LONGSPAN_HOST_DEVICE int32_t FirstPlace(int32_t begin, int32_t end, IsBehind is_behind) {
  while (begin < end) {
    const int32_t middle = begin + (end - begin) / 2;
    if (is_behind(middle)) {
      end = middle;
    } else {
      begin = middle + 1;
    }
  }
  return begin;
}

}  // namespace longspan::cuda
