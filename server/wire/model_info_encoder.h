// FillModelInfo: the answer of GetModelInfo: the model, its attention, and every limit in force.
//
// A free function without state: thread safe.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include "core/model_info.h"
#include "server/server_options.h"

namespace longspan {

void FillModelInfo(const ModelInfo& model, bool has_tokenizer, const ServerOptions& options,
                   v1::GetModelInfoResponse* out);

}  // namespace longspan
