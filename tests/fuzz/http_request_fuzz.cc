// Any bytes as requests of one connection: they are read alike in one piece and byte by byte, and
// what is taken for a request is written down in one way alone, so that no other reader sees two.
#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "server/http/request_reader.h"

namespace longspan {
namespace {

constexpr int64_t kMaxBody = 1000;

void Require(bool holds) {
  if (!holds) std::abort();
}

struct Taken {
  std::string text;  // all that was understood, in a form of our own
  std::string body;
  bool operator==(const Taken&) const = default;
};

void CheckHead(const RequestHead& head, std::string_view bytes) {
  Require(head.path == "*" || head.path.starts_with('/'));
  Require(bytes.ends_with("\r\n\r\n"));
  // Each LF behind a CR, each CR before an LF: no two readers see different lines.
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] == '\n') Require(i > 0 && bytes[i - 1] == '\r');
    if (bytes[i] == '\r') Require(i + 1 < bytes.size() && bytes[i + 1] == '\n');
    Require(bytes[i] != '\0');
  }
  Require(bytes.find("\r\n ") == std::string_view::npos);
  Require(bytes.find("\r\n\t") == std::string_view::npos);
  Require(!(head.headers.contains("content-length") && head.headers.contains("transfer-encoding")));
  for (const auto& [name, value] : head.headers) {
    for (const char one : name) Require(one > ' ' && one < 0x7f && one != ':');
    for (const char one : value) Require(one == '\t' || static_cast<unsigned char>(one) >= ' ');
  }
  if (head.framing == Framing::kLength) {
    const std::string& length = head.headers.at("content-length");
    Require(std::all_of(length.begin(), length.end(), [](unsigned char c) { return isdigit(c); }));
    Require(std::strtoll(length.c_str(), nullptr, 10) == head.content_length);
  }
}

// The requests of `input`, of which `piece` bytes more are there at each step.
std::vector<Taken> ReadAll(std::string_view input, size_t piece) {
  std::vector<Taken> all;
  size_t begin = 0, came = 0;
  while (true) {
    RequestReader reader({.max_request_line = 200, .max_bytes = 1000, .max_headers = 10});
    RequestReader::Progress progress;
    while ((progress = reader.ReadHead(input.substr(begin, came - begin))) ==
               RequestReader::Progress::kMore &&
           came < input.size())
      came = std::min(input.size(), came + piece);
    if (progress == RequestReader::Progress::kMore) return all;
    if (progress == RequestReader::Progress::kBad) {
      all.push_back({"refused " + std::to_string(reader.code()), ""});
      return all;
    }
    const RequestHead& head = reader.head();
    CheckHead(head, input.substr(begin, reader.size()));
    begin += reader.size();
    Taken taken{head.method + " " + head.path + "?" + head.query, ""};
    for (const auto& [name, value] : head.headers) taken.text += "\n" + name + ":" + value;
    const bool chunked = head.framing == Framing::kChunked;
    reader.BeginBody(kMaxBody);
    while (reader.body() == RequestReader::Body::kMore) {
      std::string_view data;
      const size_t step = reader.ReadBody(input.substr(begin, came - begin), &data);
      Require(step <= came - begin);
      taken.body.append(data);
      begin += step;
      if (step > 0) continue;
      if (came == input.size()) break;
      came = std::min(input.size(), came + piece);
    }
    Require(!chunked || taken.body.size() <= size_t{kMaxBody});
    const bool whole = reader.body() == RequestReader::Body::kDone;
    taken.text += "\nbody " + std::to_string(static_cast<int>(reader.body()));
    all.push_back(std::move(taken));
    if (!whole) return all;
  }
}

}  // namespace
}  // namespace longspan

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(bytes), std::min<size_t>(size, 4096));
  const auto whole = longspan::ReadAll(input, 4096);
  for (const size_t piece : {1, 7}) {
    if (longspan::ReadAll(input, piece) != whole) std::abort();
  }
  return 0;
}
