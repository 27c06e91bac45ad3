// ConfigKeys: what becomes of each key of a model's config.json, for every family (the value of
// "model_type"). Made from what the loaders and models of transformers 5.23 read: the common part
// (configuration_utils.py, modeling_utils.py), and each family's configuration and model. Thread
// safe.
#pragma once

#include "core/checkpoint/known_keys.h"

namespace longspan {

const KeyTable& ConfigKeys();

// Whether the table has rows for this model type.
bool IsKnownModelType(std::string_view model_type);

}  // namespace longspan
