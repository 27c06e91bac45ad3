#include "server/http/http_message.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace longspan {
namespace {

// The code of an error for programs, as OpenAI's API has them.
std::string_view ErrorCode(int code) {
  switch (code) {
    case 401:
      return "invalid_api_key";
    case 404:
      return "not_found";
    case 405:
      return "method_not_allowed";
    case 408:
      return "request_timeout";
    case 413:
      return "request_too_large";
    case 414:
      return "uri_too_long";
    case 431:
      return "headers_too_large";
    case 503:
      return "overloaded";
    default:
      return code >= 500 ? "server_error" : "bad_request";
  }
}

// A second line in a header would be a header of its own, or the start of a body.
bool IsSafe(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char byte) {
    return (byte < 0x20 && byte != '\t') || byte == 0x7f;
  });
}

}  // namespace

std::string_view ReasonPhrase(int code) {
  switch (code) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 424:
      return "Failed Dependency";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

namespace {

std::string JsonEscaped(std::string_view text) {
  std::string out;
  for (const char one : text) {
    if (one == '"' || one == '\\') out.push_back('\\');
    out.push_back(static_cast<unsigned char>(one) < 0x20 ? ' ' : one);
  }
  return out;
}

}  // namespace

HttpResponse ErrorResponse(int code, std::string_view message, bool as_json) {
  HttpResponse response;
  response.code = code;
  if (!as_json) {
    response.body = absl::StrCat(absl::string_view(message.data(), message.size()), "\n");
    return response;
  }
  const std::string_view name = ErrorCode(code);
  response.content_type = "application/json";
  response.body =
      absl::StrCat("{\"error\":{\"message\":\"", JsonEscaped(message), "\",\"type\":\"",
                   code >= 500 ? "server_error" : "invalid_request_error", "\",\"code\":\"",
                   absl::string_view(name.data(), name.size()), "\"}}\n");
  return response;
}

bool SpeaksJson(const std::map<std::string, std::string>& headers) {
  return std::any_of(headers.begin(), headers.end(), [](const auto& header) {
    return (header.first == "accept" || header.first == "content-type") &&
           absl::StrContains(absl::AsciiStrToLower(header.second), "json");
  });
}

std::string WriteHead(const AnswerHead& head) {
  const std::string_view reason = ReasonPhrase(head.code);
  std::string text = absl::StrCat(
      "HTTP/1.1 ", head.code, " ", absl::string_view(reason.data(), reason.size()),
      "\r\nDate: ", absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(), absl::UTCTimeZone()),
      "\r\n");
  const auto add = [&text](std::string_view name, std::string_view value) {
    if (IsSafe(name) && IsSafe(value)) text.append(name).append(": ").append(value).append("\r\n");
  };
  // These two have no body by definition.
  const bool has_body = head.code != 204 && head.code != 304;
  if (has_body && !head.content_type.empty()) add("Content-Type", head.content_type);
  if (has_body && head.end == BodyEnd::kLength) add("Content-Length", std::to_string(head.length));
  if (has_body && head.end == BodyEnd::kChunks) add("Transfer-Encoding", "chunked");
  if (!head.keep_alive) {
    add("Connection", "close");
  } else if (head.to_http_1_0) {
    add("Connection", "keep-alive");
  }
  if (head.headers != nullptr) {
    for (const auto& [name, value] : *head.headers) add(name, value);
  }
  return text.append("\r\n");
}

}  // namespace longspan
