// The files of the page, as they lie in server/page/web, in the program. cmake/EmbedFiles.cmake
// makes the source file.
//
// Plain values, constant; from any thread.
#pragma once

#include <span>
#include <string_view>

namespace longspan {

struct EmbeddedFile {
  std::string_view name;  // "page.css"
  std::string_view bytes;
  std::string_view sha256;  // of the bytes, in hex
};

std::span<const EmbeddedFile> PageFiles();

}  // namespace longspan
