// The answers of longspan.v1 as JSON, by protobuf's JSON mapping, written without building the
// messages: an answer may have millions of values. Counts and flags are always there, also where
// they are 0 or false.
//
// Free functions without state: thread safe.
#pragma once

#include <string>
#include <string_view>

#include "server/batching/task_timer.h"
#include "server/text/encode_input.h"
#include "server/wire/vector_format.h"

namespace longspan {

// Encoding.
void AppendEncodingJson(const EncodedDocument& document, std::string_view id, VectorFormat format,
                        std::string* out);
// Timings.
void AppendTimingsJson(const StageTimings& timings, std::string* out);
// [{"begin":"0","end":"12"},...]
void AppendRangesJson(const std::vector<TextRange>& ranges, std::string* out);

}  // namespace longspan
