#include "server/page/page.h"

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/page/embedded_files.h"

namespace longspan {
namespace {

// Trusted types: no text becomes markup or code, whatever a document holds.
constexpr char kPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'";

constexpr std::array<std::pair<std::string_view, const char*>, 5> kTypes = {{
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".txt", "text/plain; charset=utf-8"},
}};

const char* TypeOf(std::string_view name) {
  for (const auto& [ending, type] : kTypes) {
    if (name.ends_with(ending)) return type;
  }
  return "application/octet-stream";
}

// Browsers ask each time whether a file has changed. So a new server never meets old parts of the
// page.
std::map<std::string, std::string> HeadersOf(const EmbeddedFile& file) {
  return {{"Cache-Control", "no-cache"},
          {"Content-Security-Policy", kPolicy},
          {"Cross-Origin-Resource-Policy", "same-origin"},
          {"ETag", absl::StrCat("\"", absl::string_view(file.sha256.data(), 16), "\"")},
          {"Referrer-Policy", "no-referrer"},
          {"X-Content-Type-Options", "nosniff"}};
}

// If-None-Match is a list of tags, each perhaps with W/ before it, or a star.
bool HasIt(std::string_view if_none_match, const std::string& tag) {
  return if_none_match == "*" ||
         absl::StrContains(absl::string_view(if_none_match.data(), if_none_match.size()), tag);
}

}  // namespace

void AddPageRoutes(HttpServer* http, bool need_keys) {
  for (const EmbeddedFile& file : PageFiles()) {
    const std::string path =
        file.name == "index.html" ? "/" : absl::StrCat("/page/", std::string(file.name));
    http->AddRoute("GET", path,
                   [&file, type = TypeOf(file.name),
                    headers = HeadersOf(file)](const HttpRequest& request) -> HttpResponse {
                     if (HasIt(request.Header("if-none-match"), headers.at("ETag")))
                       return {.code = 304, .headers = headers};
                     return {
                         .content_type = type, .body = std::string(file.bytes), .headers = headers};
                   },
                   {.needs_key = need_keys});
  }
}

}  // namespace longspan
