// Any bytes as a keys file, and as the header of a caller: the input is cut at a byte 0x1E. Whoever
// is let in has shown the last word of a line of the file, whole; a file without such a line lets
// nobody in.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "fuzz_folder.h"
#include "server/rpc/key_ring.h"

namespace longspan {
namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

void Check(std::string_view input) {
  const std::string path = FuzzFolder("key_ring_fuzz") + "/keys";
  const std::string_view file = input.substr(0, input.find('\x1E'));
  input.remove_prefix(std::min(input.size(), file.size() + 1));
  WriteFuzzFile(path, file);
  KeyRing ring(path);
  const absl::Status loaded = ring.Load();
  const std::string header(input);
  Require(!loaded.ok() || !ring.Check("").ok());
  if (!ring.Check(header).ok() || !loaded.ok()) return;
  Require(header.starts_with("Bearer ") && header.size() > 7);
  const absl::string_view shown = absl::string_view(header).substr(7);
  bool known = false;
  bool first = true;
  for (absl::string_view line : absl::StrSplit(absl::string_view(file.data(), file.size()), '\n')) {
    if (first) line = absl::StripPrefix(line, "\xEF\xBB\xBF");
    first = first && absl::StripAsciiWhitespace(line).empty();
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    known = known || line == shown || line.substr(line.find_last_of(" \t\v\f\r") + 1) == shown;
  }
  Require(known);
}

}  // namespace
}  // namespace longspan

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  longspan::Check({reinterpret_cast<const char*>(bytes), size});
  return 0;
}
