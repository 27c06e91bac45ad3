// FillInfo: the answer of Info of tei.v1: the model and the limits in force, by the names of
// text-embeddings-inference.
//
// A free function without state: thread safe.
#pragma once

#include <tei/v1/tei.pb.h>

#include "core/model_info.h"
#include "server/server_options.h"

namespace longspan {

void FillInfo(const ModelInfo& model, const ServerOptions& options, tei::v1::InfoResponse* out);

}  // namespace longspan
