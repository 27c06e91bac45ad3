// What `longspan encode --summary` prints: one document, read whole, and beside it what a server
// that stops at 512 tokens would have read. Pure functions of the answer.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <string>

#include "absl/time/time.h"

namespace longspan {

std::string SummaryText(const std::string& text, const v1::EncodeResponse& response,
                        absl::Duration wall);

// White space runs become one space; cut with "..." at a character's border where longer than
// max_bytes.
std::string OneLine(const std::string& text, size_t max_bytes);

}  // namespace longspan
