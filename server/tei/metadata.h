// FillMetadata: what answers of tei.v1 say of their own cost.
//
// A free function without state: thread safe.
#pragma once

#include <tei/v1/tei.pb.h>

#include <cstdint>

#include "server/batching/task_timer.h"

namespace longspan {

// Of texts of so many characters, of which the model read so many tokens.
void FillMetadata(int64_t characters, int64_t tokens, const StageTimings& timings,
                  tei::v1::Metadata* out);

}  // namespace longspan
