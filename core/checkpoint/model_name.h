// ModelName: the name of a model as its users know it, which is that of the folder they gave:
//
//   /models/all-MiniLM-L6-v2                                    all-MiniLM-L6-v2
//   ~/.cache/huggingface/hub/models--org--name/snapshots/HASH   org/name
//
// What config.json says of its origin (_name_or_path) is no name: after a training it is that of
// the model it began with.
//
// Pure functions but for the current folder, which "." stands for: thread safe.
#pragma once

#include <string>

namespace longspan {

std::string ModelName(const std::string& folder);

// A name as clients, metrics and logs can carry it: valid UTF-8 in one line. A folder's name may
// hold any bytes but '/' and NUL.
std::string PrintableName(const std::string& name);

}  // namespace longspan
