#include "server/wire/status.h"

#include <google/rpc/error_details.pb.h>

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

struct Row {
  absl::StatusCode code;
  std::string_view name;
  int http;
};

// In the order of the numbers. The HTTP codes are those that google.rpc.Code names; for CANCELLED,
// whose caller is gone, that is the 499 that proxies log.
constexpr std::array<Row, kNumCodes> kTable = {{
    {absl::StatusCode::kOk, "OK", 200},
    {absl::StatusCode::kCancelled, "CANCELLED", 499},
    {absl::StatusCode::kUnknown, "UNKNOWN", 500},
    {absl::StatusCode::kInvalidArgument, "INVALID_ARGUMENT", 400},
    {absl::StatusCode::kDeadlineExceeded, "DEADLINE_EXCEEDED", 504},
    {absl::StatusCode::kNotFound, "NOT_FOUND", 404},
    {absl::StatusCode::kAlreadyExists, "ALREADY_EXISTS", 409},
    {absl::StatusCode::kPermissionDenied, "PERMISSION_DENIED", 403},
    {absl::StatusCode::kResourceExhausted, "RESOURCE_EXHAUSTED", 429},
    {absl::StatusCode::kFailedPrecondition, "FAILED_PRECONDITION", 400},
    {absl::StatusCode::kAborted, "ABORTED", 409},
    {absl::StatusCode::kOutOfRange, "OUT_OF_RANGE", 400},
    {absl::StatusCode::kUnimplemented, "UNIMPLEMENTED", 501},
    {absl::StatusCode::kInternal, "INTERNAL", 500},
    {absl::StatusCode::kUnavailable, "UNAVAILABLE", 503},
    {absl::StatusCode::kDataLoss, "DATA_LOSS", 500},
    {absl::StatusCode::kUnauthenticated, "UNAUTHENTICATED", 401},
}};

const Row& RowOf(absl::StatusCode code) { return kTable[CodeIndex(code)]; }

void AddBadRequest(const absl::Status& status, google::rpc::Status* out) {
  const std::optional<std::string> field = FieldOf(status);
  if (!field.has_value()) return;
  google::rpc::BadRequest detail;
  auto* violation = detail.add_field_violations();
  violation->set_field(*field);
  violation->set_description(out->message());
  out->add_details()->PackFrom(detail);
}

void AddRetryInfo(const absl::Status& status, google::rpc::Status* out) {
  const std::optional<absl::Duration> delay = RetryAfterOf(status);
  if (!delay.has_value()) return;
  google::rpc::RetryInfo detail;
  const int64_t milliseconds = absl::ToInt64Milliseconds(*delay);
  detail.mutable_retry_delay()->set_seconds(milliseconds / 1000);
  detail.mutable_retry_delay()->set_nanos(static_cast<int32_t>(milliseconds % 1000 * 1'000'000));
  out->add_details()->PackFrom(detail);
}

void AddErrorInfo(const absl::Status& status, google::rpc::Status* out) {
  const std::optional<std::string> reason = ReasonOf(status);
  if (!reason.has_value()) return;
  google::rpc::ErrorInfo detail;
  detail.set_reason(*reason);
  detail.set_domain("longspan");
  out->add_details()->PackFrom(detail);
}

// A status text travels in HTTP/2 headers: as it is, and again inside the details, which are a
// protobuf message in base64. Clients of gRPC refuse headers of more than 8 KiB together, and a
// protobuf string must be valid UTF-8. So the text is cut at 1 KiB, and what is not ASCII becomes
// '?'.
std::string SafeMessage(absl::string_view message) {
  std::string text = ShortMessage({message.data(), message.size()});
  for (char& c : text) {
    if (static_cast<unsigned char>(c) >= 0x80 || c == '\0') c = '?';
  }
  return text;
}

}  // namespace

size_t CodeIndex(absl::StatusCode code) {
  const auto number = static_cast<size_t>(code);
  return number < kNumCodes ? number : static_cast<size_t>(absl::StatusCode::kUnknown);
}

std::string_view CodeName(absl::StatusCode code) { return RowOf(code).name; }

google::rpc::Status ToRpcStatus(const absl::Status& status) {
  google::rpc::Status out;
  out.set_code(static_cast<int>(RowOf(status.code()).code));
  out.set_message(SafeMessage(MessageForCaller(status)));
  AddBadRequest(status, &out);
  AddRetryInfo(status, &out);
  AddErrorInfo(status, &out);
  return out;
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status detailed = ToRpcStatus(status);
  return {static_cast<grpc::StatusCode>(detailed.code()), detailed.message(),
          detailed.details_size() > 0 ? detailed.SerializeAsString() : std::string()};
}

int ToHttpCode(const absl::Status& status) {
  // gRPC has one code for what is full now and for what is too large for ever.
  constexpr int kContentTooLarge = 413;
  return ReasonOf(status) == kReasonMaxRequestBytes ? kContentTooLarge : RowOf(status.code()).http;
}

// gRPC's clients take a negative pushback for: make no further attempt (gRFC A6).
constexpr char kNeverAgain[] = "-1";

std::string RetryPushbackMs(const absl::Status& status) {
  const std::optional<absl::Duration> delay = RetryAfterOf(status);
  if (delay.has_value()) return absl::StrCat(absl::ToInt64Milliseconds(*delay));
  return absl::IsResourceExhausted(status) ? kNeverAgain : "";
}

std::string RetryAfterSeconds(const absl::Status& status) {
  const std::optional<absl::Duration> delay = RetryAfterOf(status);
  if (!delay.has_value()) return "";
  return absl::StrCat(
      std::max<int64_t>(1, absl::ToInt64Seconds(*delay + absl::Seconds(1) - absl::Nanoseconds(1))));
}

}  // namespace longspan
