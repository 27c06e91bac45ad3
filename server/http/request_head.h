// RequestHead: what the first line and the headers of a request say. Plain values, as
// RequestReader makes them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace longspan {

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

// Sets path and query of the target, as the request line has it. False where it is none: it is
// decoded once, and must not look like another path then.
bool ReadTarget(std::string_view target, RequestHead* head);

}  // namespace longspan
