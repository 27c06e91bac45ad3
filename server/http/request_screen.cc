#include "server/http/request_screen.h"

#include <algorithm>
#include <charconv>

namespace longspan {
namespace {

// Digits of a chunk's size: 15 of them cannot overflow.
constexpr size_t kMaxDigits = 15;

// Blanks but no other control characters, and each CR with its LF, but for one at the end.
bool IsText(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool after_cr = i > 0 && text[i - 1] == '\r';
    if (after_cr != (byte == '\n')) return false;
    if ((byte < 0x20 && byte != '\t' && byte != '\r' && byte != '\n') || byte == 0x7f) return false;
  }
  return true;
}

}  // namespace

bool HeadScreen::Refuse(int code, const char* why) {
  code_ = code;
  why_ = why;
  return false;
}

bool HeadScreen::NextLine(std::string_view in) {
  for (; looked_at_ < in.size() && code_ == 0; ++looked_at_) {
    if (num_lines_ == 0 && looked_at_ - begin_ >= limits_.max_request_line)
      return Refuse(414, "the request line is too long");
    if (looked_at_ >= limits_.max_bytes) return Refuse(431, "the headers are too large");
    const auto byte = static_cast<unsigned char>(in[looked_at_]);
    if (num_lines_ > 0 && looked_at_ == begin_ && (byte == ' ' || byte == '\t'))
      return Refuse(400, "a header is folded");
    // With the CR before it, if that is of the same line.
    const size_t before = looked_at_ > begin_ ? 1 : 0;
    if (!IsText(in.substr(looked_at_ - before, before + 1)))
      return Refuse(400, "a line does not end in CR LF, or a control character in the headers");
    if (byte != '\n') continue;
    line_ = in.substr(begin_, looked_at_ - 1 - begin_);
    begin_ = ++looked_at_;
    // Some clients send an empty line behind the body of the request before.
    if (line_.empty() && begin_ == 2) continue;
    if (num_lines_++ > limits_.max_headers && !line_.empty())
      return Refuse(431, "there are too many headers");
    return true;
  }
  return false;
}

ChunkLine FindChunkLine(std::string_view in, bool is_first, size_t max_overhead) {
  const ChunkLine bad{.found = ChunkLine::Found::kBad};
  const std::string_view searched = in.substr(0, max_overhead + kMaxDigits + 6);
  // The data before ends in CR LF, too.
  const size_t begin = is_first ? 0 : 2;
  if (!is_first && !std::string_view("\r\n").starts_with(in.substr(0, 2))) return bad;
  const size_t line_end = searched.find("\r\n", begin);
  if (line_end == std::string_view::npos) return IsText(in) && searched == in ? ChunkLine() : bad;
  const std::string_view line = searched.substr(begin, line_end - begin);
  const size_t digits = std::min(line.size(), line.find_first_not_of("0123456789abcdefABCDEF"));
  if (digits == 0 || digits > kMaxDigits || (digits < line.size() && line[digits] != ';'))
    return bad;
  ChunkLine found{.line = line_end + 2, .overhead = line.size() - digits};
  std::from_chars(line.data(), line.data() + digits, found.bytes, 16);
  found.size = found.line;
  if (found.bytes == 0) {
    const size_t end = searched.find("\r\n\r\n", line_end);
    if (end == std::string_view::npos) return IsText(in) && searched == in ? ChunkLine() : bad;
    found.size = end + 4;
    found.overhead += found.size - found.line;
  }
  if (!IsText(searched.substr(0, found.size)) || found.overhead > max_overhead) return bad;
  found.found = ChunkLine::Found::kYes;
  return found;
}

}  // namespace longspan
