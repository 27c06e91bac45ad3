// A file that lies in the program. cmake/EmbedFiles.cmake makes the source files that hold them.
//
// Plain values, constant; from any thread.
#pragma once

#include <string_view>

namespace longspan {

struct EmbeddedFile {
  std::string_view name;  // "page.css"
  std::string_view bytes;
  std::string_view sha256;  // of the bytes, in hex
};

}  // namespace longspan
