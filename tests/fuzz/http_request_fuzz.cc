// Any bytes as requests of one connection: they are read alike in one piece and byte by byte, and
// what is taken for a request is written down in one way alone, so that no other reader sees two.
#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "server/http/body_reader.h"
#include "server/http/request_head.h"

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
    HeadReader reader({.max_request_line = 200, .max_bytes = 1000, .max_headers = 10});
    HeadReader::Progress progress;
    while ((progress = reader.Read(input.substr(begin, came - begin))) ==
               HeadReader::Progress::kMore &&
           came < input.size())
      came = std::min(input.size(), came + piece);
    if (progress == HeadReader::Progress::kMore) return all;
    if (progress == HeadReader::Progress::kBad) {
      all.push_back({"refused " + std::to_string(reader.code()), ""});
      return all;
    }
    const RequestHead& head = reader.head();
    CheckHead(head, input.substr(begin, reader.size()));
    begin += reader.size();
    Taken taken{head.method + " " + head.path + "?" + head.query, ""};
    for (const auto& [name, value] : head.headers) taken.text += "\n" + name + ":" + value;
    BodyReader body(head.framing, head.content_length, kMaxBody);
    while (body.state() == BodyReader::State::kMore && begin < input.size()) {
      came = std::max(came, std::min(input.size(), begin + piece));
      std::string_view data;
      const size_t step = body.Read(input.substr(begin, came - begin), &data);
      Require(step > 0 && step <= came - begin);
      taken.body.append(data);
      begin += step;
    }
    Require(head.framing != Framing::kChunked || taken.body.size() <= size_t{kMaxBody});
    const bool whole = body.state() == BodyReader::State::kDone;
    taken.text += "\nbody " + std::to_string(static_cast<int>(body.state()));
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
