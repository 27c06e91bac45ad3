// The version of the LibTorch that this library was built with, for GetModelInfo.
#pragma once

#include <string_view>

namespace longspan {

std::string_view LibTorchVersion();  // "2.11.0"

}  // namespace longspan
