// HttpRouter: which function answers which request, and what is refused before its body is read.
//
// Thread safety: Add before the server starts; constant after that. Proven by http_router_test and
// http_access_test.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "server/http/http_exchange.h"
#include "server/http/http_message.h"
#include "server/http/request_head.h"

namespace longspan {

struct RouteOptions {
  // A request with a larger body is refused with 413. -1 = HttpServerOptions::max_body_bytes.
  int64_t max_body_bytes = -1;
  // Needs a bearer key, where HttpServerOptions::check_key asks for one; else 401.
  bool needs_key = false;
  // May be called from web pages of HttpServerOptions::cors_origins.
  bool cors = false;
  // The handler starts with the headers and takes the body by HttpExchange::ReadBody. The body as
  // a whole may then have any size, and its sender may pause.
  bool stream_body = false;
};

using HttpHandler = std::function<HttpResponse(const HttpRequest&)>;
using HttpAsyncHandler = std::function<void(std::shared_ptr<HttpExchange>)>;

struct HttpRoute {
  // "/encode", or with one segment that may be anything but empty: "/collections/{name}/search".
  std::string path;
  std::variant<HttpHandler, HttpAsyncHandler> handler;
  RouteOptions options;
};

class HttpRouter {
 public:
  // `authorization` is the header's value. OK, or UNAUTHENTICATED with a text for the caller.
  // `name` gets the name of the key, where it has one.
  using CheckKey = std::function<absl::Status(std::string_view authorization, std::string* name)>;

  void Add(const std::string& method, HttpRoute route);
  std::vector<std::string> Paths() const;
  void SetOrigins(std::vector<std::string> origins) { origins_ = std::move(origins); }
  void SetCheckKey(CheckKey check_key) { check_key_ = std::move(check_key); }

  struct Match {
    const HttpRoute* route = nullptr;  // null = there is none with this path and method
    bool refused = false;
    HttpResponse refusal;
    std::string key_name;
    std::string segment;                              // what stands for the one in braces
    std::map<std::string, std::string> cors_headers;  // for the answer
  };
  Match Find(const RequestHead& head) const;

 private:
  struct Page {
    std::map<std::string, HttpRoute> methods;
    std::string allowed;       // "GET, HEAD, POST"
    bool cors = false;         // of any of its routes
    bool has_segment = false;  // its path has braces, which no request has to spell
  };

  // The page of a path, or null; `segment` gets what stands for the one in braces. A path as a
  // whole goes before one with braces.
  const Page* FindPage(const std::string& path, std::string* segment) const;
  // Of an answer to a page of this origin; empty where the request comes from none that is allowed.
  std::map<std::string, std::string> CorsHeaders(const RequestHead& head) const;
  static HttpResponse Preflight(const Page& page, const RequestHead& head);

  // A path with braces, divided.
  struct Pattern {
    std::string before, behind;  // "/collections/", "/search"
    const Page* page = nullptr;
  };

  std::map<std::string, Page> pages_;  // by path; its nodes stay where they are
  std::vector<Pattern> patterns_;
  std::vector<std::string> origins_;
  CheckKey check_key_;
};

}  // namespace longspan
