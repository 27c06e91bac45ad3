// BodyReader: takes the body of a request out of the bytes that come, with a Content-Length or in
// chunks. Extensions of chunks and trailers are read over, within bounds, and never become headers.
//
// Thread safety: none; the thread of the event loop uses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/http/request_head.h"

namespace longspan {

class BodyReader {
 public:
  enum class State {
    kMore,
    kDone,
    kBad,       // not in chunks, or too much beside them
    kTooLarge,  // a chunk that ends beyond max_bytes was announced
  };

  // `max_bytes`: of chunks together. A Content-Length is the caller's to judge.
  BodyReader(Framing framing, int64_t content_length, int64_t max_bytes);

  // Finds the next piece of the body in `in`: `data` points into it, and may be empty. Returns the
  // bytes of `in` that are done with. Call it until it returns 0 or `state` is not kMore.
  size_t Read(std::string_view in, std::string_view* data);

  State state() const { return state_; }
  int64_t bytes() const { return bytes_; }  // of the body so far

 private:
  enum class Part { kData, kSize, kExtension, kSizeEnd, kDataCr, kDataEnd, kTrailer, kTrailerEnd };

  size_t ReadData(std::string_view in, std::string_view* data);
  // Of what surrounds the data.
  void ReadByte(unsigned char byte);
  void ReadSizeDigit(unsigned char byte);
  void EndSize();
  void EndTrailer();

  const bool chunked_;
  const int64_t max_bytes_;
  State state_ = State::kMore;
  Part part_;
  int64_t left_;           // of the body, or of the chunk
  int64_t bytes_ = 0;      // of data, so far
  size_t overhead_ = 0;    // extensions and trailers
  int digits_ = 0;         // of the chunk's size
  size_t line_bytes_ = 0;  // of the trailer's line
};

}  // namespace longspan
