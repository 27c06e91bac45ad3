// RequestReader: reads requests as their bytes come, by Boost.Beast's parser behind a screen
// (request_screen.h). It takes what RFC 9112 calls valid and nothing else: what two readers could
// take for different requests is refused with 400, as is Content-Length that is no plain number or
// is there twice or beside Transfer-Encoding, any Transfer-Encoding but "chunked", no Host or
// several.
//
//   ReadHead until kDone, BeginBody, ReadBody until its state is kDone, Reset, ReadHead ...
//
// Thread safety: none; the thread of the event loop uses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "server/http/request_head.h"
#include "server/http/request_screen.h"

namespace longspan {

class RequestReader {
 public:
  enum class Progress { kMore, kDone, kBad };

  explicit RequestReader(const HeadLimits& limits);
  ~RequestReader();
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  // `in` begins with the request and holds all of it that has come. kDone: `head` is complete and
  // took `size` bytes. kBad: the answer is `code`, and nothing behind it can be read.
  Progress ReadHead(std::string_view in);
  RequestHead& head() { return head_; }
  size_t size() const { return screen_.end(); }
  int code() const { return code_; }
  const std::string& why() const { return why_; }

  enum class Body {
    kMore,
    kDone,
    kBad,       // not in chunks, or too much beside them
    kTooLarge,  // a chunk that ends beyond max_bytes was announced
  };
  // `max_bytes`: of chunks together. A Content-Length is the caller's to judge.
  void BeginBody(int64_t max_bytes);
  // Finds the next piece of the body in `in`: `data` points into it, and may be empty. Returns the
  // bytes of `in` that are done with, and 0 where more of them must come first. Extensions of
  // chunks and trailers are read over, within bounds, and never become headers.
  size_t ReadBody(std::string_view in, std::string_view* data);
  Body body() const { return body_; }
  int64_t body_bytes() const { return body_bytes_; }  // so far

  // For the next request. Holds no memory before its first byte.
  void Reset();

 private:
  struct Parser;  // Beast's

  bool Refuse(int code, std::string_view why);  // false
  // What Beast makes of the request line; of the rest of the head.
  void PutRequestLine(std::string_view line);
  bool PutHeaders(std::string_view headers);
  // What the headers say together.
  bool Conclude();
  bool ConcludeFraming();
  size_t ReadChunkLine(std::string_view in);

  const HeadLimits limits_;
  HeadScreen screen_;
  std::unique_ptr<Parser> parser_;
  RequestHead head_;
  size_t taken_ = 0;  // bytes of the head that Beast has
  int code_ = 0;
  std::string why_;

  Body body_ = Body::kDone;
  bool is_first_chunk_ = true;
  int64_t left_ = 0;  // of the body, or of the chunk
  int64_t body_bytes_ = 0;
  size_t overhead_ = 0;  // extensions and trailers
};

}  // namespace longspan
