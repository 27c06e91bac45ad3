#include "server/rest/http_caller.h"

#include <cmath>
#include <string>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

constexpr char kTimeoutHeader[] = "x-request-timeout";
constexpr char kEncodingHeader[] = "content-encoding";

// The seconds of the header; 0 where it holds none that can be meant.
double TimeoutSeconds(std::string_view header) {
  double seconds = 0;
  const bool read = absl::SimpleAtod(std::string(header), &seconds) && std::isfinite(seconds);
  return read && seconds > 0 ? seconds : 0;
}

}  // namespace

Caller HttpCallerOf(const HttpRequest& request) {
  Caller caller{.peer = request.peer,
                .request_id = std::string(request.Header("x-request-id")),
                .traceparent = std::string(request.Header("traceparent"))};
  if (const double seconds = TimeoutSeconds(request.Header(kTimeoutHeader)); seconds > 0)
    caller.patience = absl::Seconds(seconds);
  return caller;
}

absl::Status CheckHttpHeaders(const HttpRequest& request) {
  const std::string_view encoding = request.Header(kEncodingHeader);
  if (!encoding.empty() && encoding != "identity") {
    return InvalidField(kEncodingHeader,
                        absl::StrCat("is ", Quoted(encoding), "; allowed: none, or identity"));
  }
  const std::string_view timeout = request.Header(kTimeoutHeader);
  if (!request.headers.contains(kTimeoutHeader) || TimeoutSeconds(timeout) > 0)
    return absl::OkStatus();
  return InvalidField(kTimeoutHeader, absl::StrCat("is ", Quoted(timeout),
                                                   "; allowed: seconds, as in 2.5, above 0"));
}

}  // namespace longspan
