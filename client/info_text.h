// The text that `longspan info` prints for people. It depends on nothing but its argument.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <string>

namespace longspan {

// The model, what may be asked of it, the server, and every limit in force, with units. Each line
// ends with "\n".
std::string InfoText(const v1::GetModelInfoResponse& info);

}  // namespace longspan
