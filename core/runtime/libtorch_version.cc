#include "core/runtime/libtorch_version.h"

#include <torch/headeronly/version.h>

namespace longspan {

std::string_view LibTorchVersion() { return TORCH_VERSION; }

}  // namespace longspan
