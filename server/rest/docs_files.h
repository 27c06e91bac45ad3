// The files of /docs in the program: ours in server/rest/docs, and Swagger UI's.
//
// Constant; from any thread.
#pragma once

#include <span>

#include "server/http/embedded_file.h"

namespace longspan {

std::span<const EmbeddedFile> DocsFiles();

}  // namespace longspan
