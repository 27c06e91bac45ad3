#include "server/rest/docs_page.h"

#include <map>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "server/rest/docs_files.h"

namespace longspan {
namespace {

// Swagger UI sets styles on its elements and has its pictures as data in its style sheet.
constexpr char kPolicy[] =
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'";

const char* TypeOf(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  return "text/javascript; charset=utf-8";
}

}  // namespace

void AddDocsRoutes(HttpServer* http) {
  for (const EmbeddedFile& file : DocsFiles()) {
    const std::string path =
        file.name == "index.html" ? "/docs" : absl::StrCat("/docs/", std::string(file.name));
    const std::map<std::string, std::string> headers = {
        {"Cache-Control", "no-cache"},
        {"Content-Security-Policy", kPolicy},
        {"ETag", absl::StrCat("\"", absl::string_view(file.sha256.data(), 16), "\"")},
        {"Referrer-Policy", "no-referrer"},
        {"X-Content-Type-Options", "nosniff"}};
    http->AddRoute("GET", path, [&file, headers](const HttpRequest& request) {
      if (request.Header("if-none-match") == headers.at("ETag"))
        return HttpResponse{.code = 304, .headers = headers};
      return HttpResponse{
          .content_type = TypeOf(file.name), .body = std::string(file.bytes), .headers = headers};
    });
  }
}

}  // namespace longspan
