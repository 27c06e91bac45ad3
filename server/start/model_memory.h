// BoundByMemory: what the memory of the device and of the host means for a model that is loaded:
// how many tokens a pass holds where the settings leave it open, and how long a text may be.
//
// A free function, called once by LoadServedModel.
#pragma once

#include <memory>
#include <span>

#include "core/encoder.h"
#include "server/server_options.h"
#include "server/start/served_model.h"

namespace longspan {

// `encoders`: the model on each of its devices. Weights are loaded and cores divided by then. Sets
// max_batch_tokens where it is 0, and memory_max_tokens; of the model piece_bytes, max_piece_bytes
// and container_bytes.
void BoundByMemory(std::span<const std::shared_ptr<Encoder>> encoders, ServerOptions* options,
                   ServedModel* model);

}  // namespace longspan
