// The files of the page, as they lie in server/page/web, in the program. cmake/EmbedFiles.cmake
// makes the source file.
//
// Plain values, constant; from any thread.
#pragma once

#include <span>

#include "server/http/embedded_file.h"

namespace longspan {

std::span<const EmbeddedFile> PageFiles();

}  // namespace longspan
