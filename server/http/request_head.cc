#include "server/http/request_head.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace longspan {
namespace {

absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }

// The characters of methods and header names: RFC 9110, 5.6.2.
bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char byte) {
    return absl::ascii_isalnum(byte) ||
           std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(byte)) !=
               std::string_view::npos;
  });
}

std::string_view WithoutBlanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

int HexDigit(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  const char lower = absl::ascii_tolower(static_cast<unsigned char>(digit));
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Nullopt where a percent sign is not followed by two digits, or stands for what could make one
// path look like another: a slash, a control character.
std::optional<std::string> Decode(std::string_view path) {
  std::string out;
  out.reserve(path.size());
  for (size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      out.push_back(path[i]);
      continue;
    }
    if (i + 2 >= path.size()) return std::nullopt;
    const int high = HexDigit(path[i + 1]), low = HexDigit(path[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    const int byte = high * 16 + low;
    if (byte < 0x20 || byte == 0x7f || byte == '/') return std::nullopt;
    out.push_back(static_cast<char>(byte));
    i += 2;
  }
  return out;
}

// Behind "http://host:port", where a target has it, as proxies and some clients send it.
std::string_view WithoutAuthority(std::string_view target) {
  for (const absl::string_view scheme : {"http://", "https://"}) {
    if (!absl::StartsWithIgnoreCase(Absl(target), scheme)) continue;
    const size_t path = target.find_first_of("/?", scheme.size());
    return path == std::string_view::npos ? "/" : target.substr(path);
  }
  return target;
}

}  // namespace

void HeadReader::Reset() {
  head_ = {};
  in_headers_ = false;
  line_ = scanned_ = num_headers_ = size_ = 0;
  code_ = 0;
}

HeadReader::Progress HeadReader::Refuse(int code, const char* why) {
  code_ = code;
  why_ = why;
  return Progress::kBad;
}

HeadReader::Progress HeadReader::Read(std::string_view in) {
  std::string_view line;
  while (NextLine(in, &line)) {
    if (!in_headers_) {
      // Some clients send an empty line behind the body of the request before.
      if (line.empty() && line_ == 2) continue;
      if (!ReadRequestLine(line)) return Progress::kBad;
      in_headers_ = true;
    } else if (line.empty()) {
      size_ = line_;
      return Conclude() ? Progress::kDone : Progress::kBad;
    } else if (!ReadHeader(line)) {
      return Progress::kBad;
    }
  }
  return code_ == 0 ? Progress::kMore : Progress::kBad;
}

bool HeadReader::NextLine(std::string_view in, std::string_view* line) {
  for (; scanned_ < in.size(); ++scanned_) {
    if (!in_headers_ && scanned_ - line_ >= limits_.max_request_line) {
      Refuse(414, "the request line is too long");
      return false;
    }
    if (scanned_ >= limits_.max_bytes) {
      Refuse(431, "the headers are too large");
      return false;
    }
    const auto byte = static_cast<unsigned char>(in[scanned_]);
    const bool after_cr = scanned_ > line_ && in[scanned_ - 1] == '\r';
    if (after_cr != (byte == '\n')) {
      Refuse(400, "a line does not end in CR LF");
      return false;
    }
    if (byte == '\n') {
      *line = in.substr(line_, scanned_ - 1 - line_);
      line_ = ++scanned_;
      return true;
    }
    if ((byte < 0x20 && byte != '\t' && byte != '\r') || byte == 0x7f) {
      Refuse(400, "a control character in the headers");
      return false;
    }
  }
  return false;
}

bool HeadReader::ReadRequestLine(std::string_view line) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    Refuse(400, "not a request line");
    return false;
  }
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!IsToken(method)) {
    Refuse(400, "not a method");
    return false;
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    const bool is_version = absl::StartsWith(Absl(version), "HTTP/") && version.size() == 8;
    Refuse(is_version ? 505 : 400, "only HTTP/1.1 and HTTP/1.0 are spoken here");
    return false;
  }
  head_.method = method;
  head_.is_http_1_0 = version == "HTTP/1.0";
  return ReadTarget(target);
}

bool HeadReader::ReadTarget(std::string_view target) {
  const bool printable = std::all_of(target.begin(), target.end(), [](unsigned char byte) {
    return byte > 0x20 && byte < 0x7f && byte != '#';
  });
  if (target == "*" && head_.method == "OPTIONS") {
    head_.path.push_back('*');
    return true;
  }
  target = WithoutAuthority(target);
  const size_t question = target.find('?');
  const auto path = Decode(target.substr(0, question));
  // "http://host?query" has an empty path, which stands for "/".
  const bool empty = target.starts_with('?');
  if (!printable || !path.has_value() || (!empty && !path->starts_with('/'))) {
    Refuse(400, "not a target");
    return false;
  }
  head_.path = *path;
  if (empty) head_.path.push_back('/');
  if (question != std::string_view::npos) head_.query = target.substr(question + 1);
  return true;
}

bool HeadReader::ReadHeader(std::string_view line) {
  // A line that begins with a blank continued the one before, once upon a time. Such a name is no
  // token, and neither is one with a blank before the colon.
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) {
    Refuse(400, "not a header");
    return false;
  }
  if (++num_headers_ > limits_.max_headers) {
    Refuse(431, "there are too many headers");
    return false;
  }
  const std::string name = absl::AsciiStrToLower(Absl(line.substr(0, colon)));
  const std::string_view value = WithoutBlanks(line.substr(colon + 1));
  const auto [at, is_new] = head_.headers.try_emplace(name, value);
  if (is_new) return true;
  for (const char* const once :
       {"content-length", "transfer-encoding", "host", "authorization", "content-type", "expect"}) {
    if (name != once) continue;
    Refuse(400, "a header that may be there once is there twice");
    return false;
  }
  at->second.append(", ").append(value);
  return true;
}

bool HeadReader::Conclude() {
  if (!head_.is_http_1_0 && !head_.headers.contains("host")) {
    Refuse(400, "the header Host is missing");
    return false;
  }
  head_.keep_alive = !head_.is_http_1_0;
  if (const auto found = head_.headers.find("connection"); found != head_.headers.end()) {
    for (const absl::string_view option : absl::StrSplit(found->second, ',')) {
      const absl::string_view word = absl::StripAsciiWhitespace(option);
      if (absl::EqualsIgnoreCase(word, "close")) {
        head_.keep_alive = false;
        break;
      }
      if (absl::EqualsIgnoreCase(word, "keep-alive")) head_.keep_alive = true;
    }
  }
  return ConcludeFraming();
}

bool HeadReader::ConcludeFraming() {
  const auto length = head_.headers.find("content-length");
  const auto encoding = head_.headers.find("transfer-encoding");
  const bool has_length = length != head_.headers.end();
  if (encoding != head_.headers.end()) {
    if (has_length || head_.is_http_1_0) {
      Refuse(400, "Transfer-Encoding beside Content-Length, or in HTTP/1.0");
      return false;
    }
    if (!absl::EqualsIgnoreCase(encoding->second, "chunked")) {
      Refuse(400, "Transfer-Encoding is not chunked");
      return false;
    }
    head_.framing = Framing::kChunked;
    return true;
  }
  if (!has_length) return true;
  const std::string& digits = length->second;
  // SimpleAtoi alone would take a sign.
  const bool is_number =
      !digits.empty() && std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit);
  if (!is_number || !absl::SimpleAtoi(digits, &head_.content_length)) {
    Refuse(400, "Content-Length is not a number");
    return false;
  }
  if (head_.content_length > 0) head_.framing = Framing::kLength;
  return true;
}

}  // namespace longspan
