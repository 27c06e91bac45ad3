// ReadRopeScaling: what config.json says of rotary positions, under rope_parameters (one object for
// each kind of layer) and under the older rope_scaling (one object for all, which overrides the
// other). A free function, thread safe. Proven by checkpoint_keys_test.
#pragma once

#include <cstdint>

#include "core/checkpoint/json_reader.h"
#include "core/layers/rope_scaling.h"

namespace longspan {

struct RopeModel {
  int64_t head_size = 0;      // D
  int64_t max_positions = 0;  // tokens: the longest text of the model
  double theta = 0;           // base of the frequencies where neither object names one
};

// `own` is the object of this kind of layer, `shared` that of rope_scaling. Errors stay in the
// reader of the object that holds the key.
RopeScaling ReadRopeScaling(JsonReader& own, JsonReader& shared, const RopeModel& model);

}  // namespace longspan
