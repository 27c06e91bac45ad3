#include "client/collection_text.h"

#include <cstddef>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/summary.h"

namespace longspan {
namespace {

// 30513561 as "29.1 MiB".
std::string BytesText(uint64_t bytes) {
  const char* const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; unit + 1 < std::size(units) && value >= 1024; ++unit) value /= 1024;
  return unit == 0 ? absl::StrCat(bytes, " bytes") : absl::StrFormat("%.1f %s", value, units[unit]);
}

std::string FormatText(v1::KeptFormat format) {
  return format == v1::KEPT_FORMAT_TWO_BIT ? "two_bit" : "int8";
}

}  // namespace

std::string CollectionsText(const v1::ListCollectionsResponse& response) {
  if (response.collections().empty()) return "there are no collections\n";
  std::string text = absl::StrFormat("%9s %12s %10s  %-7s %5s  %-10s  %s\n", "documents", "tokens",
                                     "bytes", "format", "span", "language", "name");
  for (const v1::Collection& one : response.collections()) {
    if (!one.error().empty()) {
      absl::StrAppendFormat(&text, "%9s %12s %10s  %-7s %5s  %-10s  %s: cannot be used: %s\n", "-",
                            "-", "-", "-", "-", "-", PrintableText(one.name()),
                            PrintableText(one.error()));
      continue;
    }
    absl::StrAppendFormat(&text, "%9d %12d %10s  %-7s %5d  %-10s  %s\n", one.documents(),
                          one.tokens(), BytesText(one.bytes()), FormatText(one.format()),
                          one.span_tokens(), PrintableText(one.language()),
                          PrintableText(one.name()));
  }
  return text;
}

std::string ContentsText(const v1::Collection& collection) {
  return absl::StrCat(CountText(collection.documents(), "document"), ", ",
                      CountText(collection.tokens(), "token"), ", ", BytesText(collection.bytes()));
}

std::string CountText(uint64_t count, const std::string& noun) {
  return absl::StrCat(count, " ", noun, count == 1 ? "" : "s");
}

std::string PrintableText(const std::string& text) {
  std::string line = JoinLines(text, std::string::npos);
  for (size_t i = 0; i < line.size(); ++i) {
    const auto byte = static_cast<unsigned char>(line[i]);
    // U+0080 to U+009F are control characters, too: 0xC2 and a byte below 0xA0.
    const bool is_second =
        i + 1 < line.size() && byte == 0xc2 && static_cast<unsigned char>(line[i + 1]) < 0xa0;
    if (is_second) line.erase(i, 1);
    if (is_second || byte < 0x20 || byte == 0x7f) line[i] = '?';
  }
  return line;
}

}  // namespace longspan
