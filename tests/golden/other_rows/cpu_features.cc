// Takes the place of core/kernels/cpu_features.cc in the tests named other_rows_*: an int8 model
// keeps its rows in the type that it would not keep them in on this processor, bfloat16 for float32
// or float32 for bfloat16. Every processor runs both, at different speeds.
#define GetCpuFeatures DetectedCpuFeatures
#include "core/kernels/cpu_features.cc"
#undef GetCpuFeatures

namespace longspan::kernels {

const CpuFeatures& GetCpuFeatures();

const CpuFeatures& GetCpuFeatures() {
  static const CpuFeatures features = [] {
    CpuFeatures found = DetectedCpuFeatures();
    found.bfloat16_rows = !found.bfloat16_rows;
    return found;
  }();
  return features;
}

}  // namespace longspan::kernels
