// HeadScreen: refuses what Boost.Beast reads, but other readers of HTTP read in another way. A
// proxy in front that takes a request for another one than we do would let one request hide in
// another (request smuggling). It looks at the bytes of the first line and the headers before Beast
// gets them (a bare CR, LF, NUL or other control character, folded lines) and counts them.
// RequestReader does the rest over what Beast has read: each header that delimits the body once.
//
// FindChunkLine does the same for the line in front of a chunk.
//
// Thread safety: none; the thread of the event loop uses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace longspan {

struct HeadLimits {
  size_t max_request_line = 8 << 10;  // beyond it 414
  size_t max_bytes = 16 << 10;        // of line and headers together; beyond it 431
  size_t max_headers = 100;           // beyond it 431
};

class HeadScreen {
 public:
  explicit HeadScreen(const HeadLimits& limits) : limits_(limits) {}

  // `in` begins with the request and holds all of it that has come. Returns true at the end of each
  // of its lines, of which the last one is empty. False where no other line has ended, or where
  // `code` is not 0.
  bool NextLine(std::string_view in);
  std::string_view line() const { return line_; }  // without CR LF
  size_t end() const { return begin_; }            // behind the line

  int code() const { return code_; }  // that the request is refused with
  const char* why() const { return why_; }

 private:
  bool Refuse(int code, const char* why);

  HeadLimits limits_;
  std::string_view line_;
  size_t begin_ = 0;      // of the line that is to be looked at
  size_t looked_at_ = 0;  // bytes
  size_t num_lines_ = 0;
  int code_ = 0;
  const char* why_ = "";
};

// What stands between the data of two chunks, or at the end of the last one, with its trailers.
struct ChunkLine {
  enum class Found { kMore, kYes, kBad };
  Found found = Found::kMore;
  size_t size = 0;      // of all of it, when found
  size_t line = 0;      // up to the end of the line with the chunk's size
  size_t overhead = 0;  // bytes of extensions and trailers
  int64_t bytes = 0;    // of the chunk; 0 = it is the last one
};
// `in` begins behind the data before; `is_first`: there is none. No more than `max_overhead` bytes
// are searched.
ChunkLine FindChunkLine(std::string_view in, bool is_first, size_t max_overhead);

}  // namespace longspan
