#include "client/npy.h"

#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace longspan {

std::string NpyHead(const std::string& type, int64_t rows, int64_t columns) {
  std::string text = absl::StrFormat("{'descr': '%s', 'fortran_order': False, 'shape': (%d, %d), }",
                                     type, rows, columns);
  const std::string_view magic("\x93NUMPY\x01\x00", 8);
  const size_t length = kNpyHeadBytes - magic.size() - 2;
  text.resize(length - 1, ' ');
  return absl::StrCat(absl::string_view(magic.data(), magic.size()),
                      std::string{static_cast<char>(length), '\0'}, text, "\n");
}

}  // namespace longspan
