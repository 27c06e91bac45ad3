// What the options of `longspan encode` ask for, as the contract has it. Pure functions.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <string>

#include "client/commands.h"

namespace longspan {

// The options that the command's flags ask for. A name that is empty leaves the default of the
// contract.
v1::EncodeOptions OptionsOf(const EncodeCommand& command);

// What is wrong with the value of --spans; empty = nothing is.
//   none | sentences | paragraphs | fixed:TOKENS[:OVERLAP]
std::string CheckSpans(const std::string& spans);

// A path as an id, which must be UTF-8: '?' for each byte that is not.
std::string IdOfPath(const std::string& path);

}  // namespace longspan
