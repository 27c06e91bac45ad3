// `longspan encode` of several files, or of folders: all go over one EncodeStream after the other,
// with many texts in flight, and each answer is written as it comes. So memory is bounded whatever
// there is to encode. What is wrong with one file is a line on stderr, and the others go on.
#pragma once

#include "client/commands.h"

namespace longspan {

// Returns the exit code: that of a call that failed, else 1 where the server refused a text, else 3
// where a file could not be read or the output not be written, else 0.
int EncodeFiles(const CommonOptions& common, const EncodeCommand& command);

}  // namespace longspan
