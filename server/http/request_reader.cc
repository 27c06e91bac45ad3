#include "server/http/request_reader.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/rfc7230.hpp>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"

namespace longspan {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

// Of extensions and trailers of one request. Nobody is known to need any.
constexpr size_t kMaxOverhead = 8 << 10;

// A body that the parser walks over: its bytes stay where they are, for whoever called the parser.
struct PassedBody {
  struct value_type {};
  struct reader {
    template <bool is_request, class Fields>
    reader(http::header<is_request, Fields>&, value_type&) {}
    static void init(const boost::optional<uint64_t>&, error_code& error) { error = {}; }
    template <class Buffers>
    static size_t put(const Buffers& buffers, error_code& error) {
      error = {};
      return boost::beast::buffer_bytes(buffers);
    }
    static void finish(error_code& error) { error = {}; }
  };
};

std::string_view Std(boost::beast::string_view text) { return {text.data(), text.size()}; }
absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }

// Of a request line that Beast does not like for its version: whether it has one.
bool HasOtherVersion(std::string_view line) {
  const std::string_view version = line.substr(line.rfind(' ') + 1);
  return version.starts_with("HTTP/") && version.size() == 8 && version != "HTTP/1.1" &&
         version != "HTTP/1.0";
}

}  // namespace

struct RequestReader::Parser : http::request_parser<PassedBody> {
  // All of `bytes` must be of use, and are nothing but what the parser asks for now.
  error_code Put(std::string_view bytes) {
    error_code error;
    const size_t used = put(boost::asio::buffer(bytes.data(), bytes.size()), error);
    if (error == http::error::need_more) error = {};
    if (!error && used != bytes.size()) error = http::error::unexpected_body;
    return error;
  }
};

RequestReader::RequestReader(const HeadLimits& limits) : limits_(limits), screen_(limits) {}
RequestReader::~RequestReader() = default;

void RequestReader::Reset() {
  screen_ = HeadScreen(limits_);
  parser_.reset();
  head_ = {};
  taken_ = 0;
  code_ = 0;
}

bool RequestReader::Refuse(int code, std::string_view why) {
  code_ = code;
  why_ = why;
  return false;
}

// Beast gets the request line as soon as it is there, and the headers once all of them are, so that
// it reads alike in whatever pieces they come.
RequestReader::Progress RequestReader::ReadHead(std::string_view in) {
  while (code_ == 0 && screen_.NextLine(in)) {
    if (parser_ == nullptr) {
      const size_t size = screen_.line().size() + 2;
      taken_ = screen_.end();
      PutRequestLine(in.substr(taken_ - size, size));
    } else if (screen_.line().empty()) {
      if (PutHeaders(in.substr(taken_, screen_.end() - taken_)) && Conclude())
        return Progress::kDone;
    }
  }
  if (code_ == 0 && screen_.code() != 0) Refuse(screen_.code(), screen_.why());
  return code_ == 0 ? Progress::kMore : Progress::kBad;
}

void RequestReader::PutRequestLine(std::string_view line) {
  parser_ = std::make_unique<Parser>();
  parser_->header_limit(static_cast<uint32_t>(limits_.max_bytes));
  parser_->body_limit(boost::none);  // the route knows it
  const error_code error = parser_->Put(line);
  if (!error) return;
  line.remove_suffix(2);
  if (error == http::error::bad_version && HasOtherVersion(line)) {
    Refuse(505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
  } else {
    Refuse(400, "not a request line");
  }
}

bool RequestReader::PutHeaders(std::string_view headers) {
  const error_code error = parser_->Put(headers);
  if (error || !parser_->is_header_done()) return Refuse(400, "not a header: " + error.message());
  for (const auto& field : parser_->get()) {
    const std::string name = absl::AsciiStrToLower(Absl(Std(field.name_string())));
    const auto [at, is_new] = head_.headers.try_emplace(name, Std(field.value()));
    if (is_new) continue;
    for (const char* const once : {"content-length", "transfer-encoding", "host", "authorization",
                                   "content-type", "expect"}) {
      if (name == once) return Refuse(400, "a header that may be there once is there twice");
    }
    at->second.append(", ").append(Std(field.value()));
  }
  return true;
}

bool RequestReader::Conclude() {
  const auto& request = parser_->get();
  head_.method = Std(request.method_string());
  head_.is_http_1_0 = request.version() == 10;
  // To HTTP/1.0 Beast lets "keep-alive" win over "close".
  const auto connection = head_.headers.find("connection");
  const bool says_close =
      connection != head_.headers.end() && http::token_list(connection->second).exists("close");
  head_.keep_alive = parser_->keep_alive() && !says_close;
  if (!ReadTarget(Std(request.target()), &head_)) return Refuse(400, "not a target");
  if (!head_.is_http_1_0 && !head_.headers.contains("host"))
    return Refuse(400, "the header Host is missing");
  return ConcludeFraming();
}

bool RequestReader::ConcludeFraming() {
  const auto length = head_.headers.find("content-length");
  const auto encoding = head_.headers.find("transfer-encoding");
  const bool has_length = length != head_.headers.end();
  if (encoding != head_.headers.end()) {
    if (has_length || head_.is_http_1_0)
      return Refuse(400, "Transfer-Encoding beside Content-Length, or in HTTP/1.0");
    if (!absl::EqualsIgnoreCase(encoding->second, "chunked"))
      return Refuse(400, "Transfer-Encoding is not chunked");
    head_.framing = Framing::kChunked;
    return true;
  }
  if (!has_length) return true;
  const std::string& digits = length->second;
  // Beast takes a list of the same number.
  const bool is_number =
      !digits.empty() && std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit);
  if (!is_number || !absl::SimpleAtoi(digits, &head_.content_length))
    return Refuse(400, "Content-Length is not a number");
  if (head_.content_length > 0) head_.framing = Framing::kLength;
  return true;
}

void RequestReader::BeginBody(int64_t max_bytes) {
  if (head_.framing == Framing::kChunked) parser_->body_limit(static_cast<uint64_t>(max_bytes));
  body_ = head_.framing == Framing::kNone ? Body::kDone : Body::kMore;
  is_first_chunk_ = true;
  left_ = head_.framing == Framing::kLength ? head_.content_length : 0;
  body_bytes_ = 0;
  overhead_ = 0;
}

size_t RequestReader::ReadBody(std::string_view in, std::string_view* data) {
  *data = {};
  if (body_ != Body::kMore) return 0;
  const size_t used = left_ == 0 ? ReadChunkLine(in) : 0;
  *data = in.substr(used, static_cast<size_t>(left_));
  if (data->empty()) return used;
  if (parser_->Put(*data)) body_ = Body::kBad;
  left_ -= static_cast<int64_t>(data->size());
  body_bytes_ += static_cast<int64_t>(data->size());
  if (parser_->is_done()) body_ = Body::kDone;
  return used + data->size();
}

size_t RequestReader::ReadChunkLine(std::string_view in) {
  const ChunkLine found = FindChunkLine(in, is_first_chunk_, kMaxOverhead - overhead_);
  if (found.found == ChunkLine::Found::kMore) return 0;
  if (found.found == ChunkLine::Found::kBad) {
    body_ = Body::kBad;
    return 0;
  }
  overhead_ += found.overhead;
  // Beast would take trailers for headers: it gets the end without them.
  const bool is_last = found.bytes == 0;
  const error_code error =
      is_last ? parser_->Put(std::string_view("\r\n0\r\n\r\n").substr(is_first_chunk_ ? 2 : 0))
              : parser_->Put(in.substr(0, found.line));
  is_first_chunk_ = false;
  if (error) {
    body_ = error == http::error::body_limit ? Body::kTooLarge : Body::kBad;
    return 0;
  }
  if (is_last) body_ = Body::kDone;
  left_ = found.bytes;
  return found.size;
}

}  // namespace longspan
