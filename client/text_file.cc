#include "client/text_file.h"

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

// Bytes of the character at the front of `text`, which is not empty; 0 where it is not well-formed.
size_t CharacterBytes(std::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  // The first byte tells the number of bytes. No character begins with 0x80..0xBF (continuation
  // bytes), with 0xC0 or 0xC1 (overlong forms), or with 0xF5 and above (beyond U+10FFFF).
  const size_t bytes = first < 0xC2   ? 0
                       : first < 0xE0 ? 2
                       : first < 0xF0 ? 3
                       : first < 0xF5 ? 4
                                      : 0;
  if (bytes == 0 || text.size() < bytes) return 0;
  // The second byte decides whether the form is overlong (after E0 and F0), a surrogate (after ED)
  // or too large (after F4); its range is narrower there.
  const uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < bytes; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  return bytes;
}

}  // namespace

size_t FindInvalidUtf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = CharacterBytes(text.substr(at));
    if (bytes == 0) return at;
    at += bytes;
  }
  return std::string_view::npos;
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path) {
  const std::string name = path == "-" ? "standard input" : path;
  const auto unreadable = [&name] {
    return absl::NotFoundError(
        absl::StrCat(name, " cannot be read: ", std::generic_category().message(errno),
                     "; give a text file, or - for standard input"));
  };
  const auto close = [](std::FILE* file) { return file == stdin ? 0 : std::fclose(file); };
  const std::unique_ptr<std::FILE, decltype(close)> file(
      path == "-" ? stdin : std::fopen(path.c_str(), "rb"), close);
  if (file == nullptr) return unreadable();
  std::string text;
  char block[1 << 16];
  while (const size_t bytes = std::fread(block, 1, sizeof(block), file.get()))
    text.append(block, bytes);
  if (std::ferror(file.get()) != 0) return unreadable();  // fopen takes a folder, fread does not
  const size_t bad = FindInvalidUtf8(text);
  if (bad == std::string_view::npos) return text;
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is not UTF-8: byte ", bad, " is 0x",
                   absl::Hex(static_cast<uint8_t>(text[bad]), absl::kZeroPad2),
                   "; convert it first, for example with iconv -t UTF-8"));
}

}  // namespace longspan
