// HeadReader: reads the first line and the headers of a request as their bytes come. It takes what
// RFC 9112 calls valid and nothing else. What a proxy in front may read in another way than we do
// would let one request hide another (request smuggling), so it is refused with 400: line folding,
// a bare CR or LF, a NUL or another control character, blanks before a colon, Content-Length that
// is no plain number or is there twice or beside Transfer-Encoding, any Transfer-Encoding but
// "chunked", no Host or several.
//
// Thread safety: none; the thread of the event loop uses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace longspan {

struct HeadLimits {
  size_t max_request_line = 8 << 10;  // beyond it 414
  size_t max_bytes = 16 << 10;        // of line and headers together; beyond it 431
  size_t max_headers = 100;           // beyond it 431
};

// How a request's body is delimited.
enum class Framing { kNone, kLength, kChunked };

struct RequestHead {
  std::string method;
  std::string path;  // decoded; "*" for OPTIONS * and for nothing else
  std::string query;
  std::map<std::string, std::string> headers;  // names in lower case
  Framing framing = Framing::kNone;
  int64_t content_length = 0;
  bool is_http_1_0 = false;
  bool keep_alive = true;
};

class HeadReader {
 public:
  enum class Progress { kMore, kDone, kBad };

  explicit HeadReader(const HeadLimits& limits) : limits_(limits) {}

  // `in` begins with the request and holds all of it that has come. kDone: `head` is complete and
  // took `size` bytes. kBad: the answer is `code`, and nothing behind it can be read.
  Progress Read(std::string_view in);
  // For the next request.
  void Reset();

  RequestHead& head() { return head_; }
  size_t size() const { return size_; }
  int code() const { return code_; }
  const char* why() const { return why_; }

 private:
  Progress Refuse(int code, const char* why);
  // The line that begins at line_; false where its end has not come, or it is none (code_ is set).
  bool NextLine(std::string_view in, std::string_view* line);
  bool ReadRequestLine(std::string_view line);
  bool ReadTarget(std::string_view target);
  bool ReadHeader(std::string_view line);
  // What the headers say together.
  bool Conclude();
  bool ConcludeFraming();

  const HeadLimits limits_;
  RequestHead head_;
  bool in_headers_ = false;
  size_t line_ = 0;     // where the line being read begins
  size_t scanned_ = 0;  // bytes that were looked at
  size_t num_headers_ = 0;
  size_t size_ = 0;
  int code_ = 0;
  const char* why_ = "";
};

}  // namespace longspan
