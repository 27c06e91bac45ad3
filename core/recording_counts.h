// RecordingCounts: what became of runs that a device may record (core/models/layer_recordings.h). A
// plain value that rooms without tensors share.
#pragma once

#include <cstdint>

namespace longspan {

struct RecordingCounts {
  int64_t recorded = 0;  // shapes of passes
  int64_t refused = 0;   // shapes that cannot be recorded, and run operation by operation
  int64_t repeated = 0;  // passes whose layers were one call of the device
};

}  // namespace longspan
