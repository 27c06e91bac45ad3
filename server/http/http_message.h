// HttpRequest and HttpResponse: what handlers get and give. Plain values.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace longspan {

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // "/metrics", with percent signs decoded
  std::string query;   // behind the question mark, without it, as it was sent
  std::string body;
  // Names in lower case, without the trailers of chunked bodies. A name that came several times has
  // its values joined by ", ".
  std::map<std::string, std::string> headers;
  std::string peer;       // "ipv4:127.0.0.1:50712", as gRPC's ServerContext::peer
  std::string segment;    // what stands for the segment in braces of the route's path
  std::string key_name;   // of the bearer key, where the route needs one and it has a name
  bool over_tls = false;  // on a port with TLS
  bool has_client_certificate = false;  // of an authority of --tls-client-ca

  // The header's value; empty where there is none. `name` in lower case.
  std::string_view Header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string_view() : found->second;
  }
};

struct HttpResponse {
  int code = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  // Beside Content-Type, Content-Length, Transfer-Encoding, Connection and Date, which the server
  // writes. One with a control character in it is left out.
  std::map<std::string, std::string> headers;
};

// "Not Found"
std::string_view ReasonPhrase(int code);

// A refusal by the server itself, as JSON where the caller seems to speak it:
//   {"error":{"message":"...","type":"invalid_request_error","code":"not_found"}}
// and else as a line of text. `message` is ours: it holds no text of the request.
HttpResponse ErrorResponse(int code, std::string_view message, bool as_json);
// Whether Accept or Content-Type name JSON.
bool SpeaksJson(const std::map<std::string, std::string>& headers);

// How an answer's body is delimited.
enum class BodyEnd {
  kLength,  // Content-Length
  kChunks,  // Transfer-Encoding: chunked
  kClose,   // the end of the connection: streams to callers of HTTP/1.0
};
// Status line and headers with the empty line behind them. `length`: the body's, for kLength.
struct AnswerHead {
  int code = 200;
  std::string_view content_type;  // empty = none
  const std::map<std::string, std::string>* headers = nullptr;
  BodyEnd end = BodyEnd::kLength;
  size_t length = 0;
  bool keep_alive = true;
  bool to_http_1_0 = false;
};
std::string WriteHead(const AnswerHead& head);

}  // namespace longspan
