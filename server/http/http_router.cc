#include "server/http/http_router.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace longspan {
namespace {

// How long a browser may remember what a preflight said. Chromium takes two hours at most.
constexpr char kPreflightSeconds[] = "7200";

std::string_view HeaderOf(const RequestHead& head, const char* name) {
  const auto found = head.headers.find(name);
  return found == head.headers.end() ? std::string_view() : found->second;
}

}  // namespace

void HttpRouter::Add(const std::string& method, HttpRoute route) {
  const auto [found, is_new] = pages_.try_emplace(route.path);
  Page& page = found->second;
  const size_t open = route.path.find('{'), close = route.path.find('}');
  page.has_segment = close != std::string::npos;
  if (is_new && page.has_segment)
    patterns_.push_back({route.path.substr(0, open), route.path.substr(close + 1), &page});
  page.cors = page.cors || route.options.cors;
  page.methods[method] = std::move(route);
  page.allowed.clear();
  for (const auto& [name, unused] : page.methods)
    absl::StrAppend(&page.allowed, page.allowed.empty() ? "" : ", ", name,
                    name == "GET" ? ", HEAD" : "");
}

std::vector<std::string> HttpRouter::Paths() const {
  std::vector<std::string> paths;
  paths.reserve(pages_.size());
  for (const auto& [path, unused] : pages_) paths.push_back(path);
  return paths;
}

const HttpRouter::Page* HttpRouter::FindPage(const std::string& path, std::string* segment) const {
  const auto found = pages_.find(path);
  if (found != pages_.end() && !found->second.has_segment) return &found->second;
  for (const Pattern& pattern : patterns_) {
    const size_t around = pattern.before.size() + pattern.behind.size();
    if (path.size() <= around || !path.starts_with(pattern.before) ||
        !path.ends_with(pattern.behind))
      continue;
    const std::string between = path.substr(pattern.before.size(), path.size() - around);
    if (between.find('/') != std::string::npos) continue;
    *segment = between;
    return pattern.page;
  }
  return nullptr;
}

std::map<std::string, std::string> HttpRouter::CorsHeaders(const RequestHead& head) const {
  const std::string_view origin = HeaderOf(head, "origin");
  if (origin.empty()) return {};
  for (const std::string& allowed : origins_) {
    if (allowed == "*") return {{"Access-Control-Allow-Origin", "*"}};
    // The answer depends on who asks, which caches must know.
    if (allowed == origin) return {{"Access-Control-Allow-Origin", allowed}, {"Vary", "Origin"}};
  }
  return {};
}

HttpResponse HttpRouter::Preflight(const Page& page, const RequestHead& head) {
  HttpResponse response{.code = 204};
  response.headers["Access-Control-Allow-Methods"] = page.allowed;
  // Whatever is asked for: "*" would not stand for Authorization, and the libraries of browsers
  // send a dozen headers of their own.
  const std::string_view wanted = HeaderOf(head, "access-control-request-headers");
  if (!wanted.empty()) response.headers["Access-Control-Allow-Headers"] = wanted;
  response.headers.emplace("Access-Control-Max-Age", kPreflightSeconds);
  return response;
}

HttpRouter::Match HttpRouter::Find(const RequestHead& head) const {
  Match match;
  const bool as_json = SpeaksJson(head.headers);
  const auto refuse = [&match](HttpResponse response) {
    match.refused = true;
    match.refusal = std::move(response);
    match.refusal.headers.insert(match.cors_headers.begin(), match.cors_headers.end());
    return match;
  };
  const Page* found = FindPage(head.path, &match.segment);
  if (found == nullptr) return refuse(ErrorResponse(404, "no such page", as_json));
  const Page& page = *found;
  if (page.cors) match.cors_headers = CorsHeaders(head);
  if (head.method == "OPTIONS" && !match.cors_headers.empty() &&
      !HeaderOf(head, "access-control-request-method").empty() && !page.methods.contains("OPTIONS"))
    return refuse(Preflight(page, head));
  auto handler = page.methods.find(head.method);
  if (handler == page.methods.end() && head.method == "HEAD") handler = page.methods.find("GET");
  if (handler == page.methods.end()) {
    HttpResponse response = ErrorResponse(405, "method not allowed", as_json);
    response.headers["Allow"] = page.allowed;
    return refuse(std::move(response));
  }
  match.route = &handler->second;
  if (!match.route->options.cors) match.cors_headers.clear();
  if (!match.route->options.needs_key || !check_key_) return match;
  const absl::Status status = check_key_(HeaderOf(head, "authorization"), &match.key_name);
  if (status.ok()) return match;
  HttpResponse response = ErrorResponse(401, std::string(status.message()), as_json);
  response.headers.emplace("WWW-Authenticate", "Bearer");
  return refuse(std::move(response));
}

}  // namespace longspan
