#include "client/client.h"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpc/health/v1/health.grpc.pb.h>
#include <grpcpp/grpcpp.h>

#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/server_name.h"

namespace longspan {
namespace {

// Names the three calls that may be repeated without harm, and when gRPC repeats them. A server
// that is overloaded (RESOURCE_EXHAUSTED) may name the pause in the trailer grpc-retry-pushback-ms;
// gRPC then obeys the trailer and not the backoff here. The deadline of a call covers all attempts
// together.
constexpr char kServiceConfig[] = R"({
  "methodConfig": [{
    "name": [{"service": "longspan.v1.EncoderService", "method": "Encode"},
             {"service": "longspan.v1.EncoderService", "method": "Tokenize"},
             {"service": "longspan.v1.EncoderService", "method": "GetModelInfo"}],
    "retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "2s", "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]}
  }]
})";

// Limit of a message in each direction. gRPC's default for a received one is 4 MiB, which the
// vectors of many spans exceed.
constexpr int kMaxMessageBytes = 64 << 20;

// gRPC's default is two minutes. With one second, a server that is just starting is found within a
// second.
constexpr int kMaxReconnectBackoffMs = 1000;

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(const std::string& ca_file) {
  if (ca_file.empty()) return grpc::InsecureChannelCredentials();
  std::ifstream file(ca_file);
  std::stringstream pem;
  pem << file.rdbuf();
  if (!file || pem.str().empty())
    return absl::InvalidArgumentError(
        absl::StrCat("CA file ", ca_file, " cannot be read; give a PEM file"));
  return grpc::SslCredentials({.pem_root_certs = pem.str()});
}

// What the google.rpc details of the status say, as " [...]" each; empty where there are none.
std::string DetailText(const grpc::Status& status) {
  google::rpc::Status detailed;
  if (!detailed.ParseFromString(status.error_details())) return "";
  std::string text;
  for (const google::protobuf::Any& any : detailed.details()) {
    google::rpc::BadRequest bad_request;
    google::rpc::RetryInfo retry;
    google::rpc::ErrorInfo error;
    if (any.UnpackTo(&bad_request) && bad_request.field_violations_size() > 0) {
      absl::StrAppend(&text, " [field ", bad_request.field_violations(0).field(), "]");
    } else if (any.UnpackTo(&retry)) {
      absl::StrAppend(
          &text, " [try again in ",
          static_cast<double>(retry.retry_delay().seconds()) + retry.retry_delay().nanos() * 1e-9,
          " s]");
    } else if (any.UnpackTo(&error)) {
      absl::StrAppend(&text, " [", error.reason(), "]");
    }
  }
  return text;
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      absl::StrCat(status.error_message(), DetailText(status)));
}

Client::Client(std::shared_ptr<grpc::Channel> channel, std::string key, std::string proxy)
    : channel_(std::move(channel)),
      key_(std::move(key)),
      proxy_(std::move(proxy)),
      stub_(v1::EncoderService::NewStub(channel_)) {}

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const ClientOptions& options) {
  if (absl::Status status = CheckServerName(options.server); !status.ok()) return status;
  const auto credentials = Credentials(options.ca_file);
  if (!credentials.ok()) return credentials.status();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  // gRPC buffers a request in order to send it again. Its default buffer of 256 KiB is less than a
  // long text, and a request that does not fit is silently not retried.
  arguments.SetInt(GRPC_ARG_PER_RPC_RETRY_BUFFER_SIZE, kMaxMessageBytes);
  if (options.retry) arguments.SetServiceConfigJSON(kServiceConfig);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectBackoffMs);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, options.own_connection ? 1 : 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, options.retry ? 1 : 0);
  if (IsReachedDirectly(options.server)) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return std::unique_ptr<Client>(
      new Client(grpc::CreateCustomChannel(options.server, *credentials, arguments), options.key,
                 options.proxy));
}

absl::Status Client::ErrorOf(const grpc::Status& status) const {
  const absl::Status error = FromGrpc(status);
  if (proxy_.empty() || (!absl::IsUnavailable(error) && !absl::IsDeadlineExceeded(error)))
    return error;
  return absl::Status(error.code(),
                      absl::StrCat(error.message(), " [by way of the proxy ", proxy_,
                                   "; no_grpc_proxy lists hosts that are reached directly]"));
}

void Client::Prepare(grpc::ClientContext* context, absl::Duration deadline) const {
  context->set_deadline(absl::ToChronoTime(absl::Now() + deadline));
  if (!key_.empty()) context->AddMetadata("authorization", "Bearer " + key_);
}

absl::StatusOr<v1::EncodeResponse> Client::Encode(const v1::EncodeRequest& request,
                                                  absl::Duration deadline) {
  grpc::ClientContext context;
  Prepare(&context, deadline);
  v1::EncodeResponse response;
  const grpc::Status status = stub_->Encode(&context, request, &response);
  if (!status.ok()) return ErrorOf(status);
  return response;
}

absl::StatusOr<v1::TokenizeResponse> Client::Tokenize(const v1::TokenizeRequest& request,
                                                      absl::Duration deadline) {
  grpc::ClientContext context;
  Prepare(&context, deadline);
  v1::TokenizeResponse response;
  const grpc::Status status = stub_->Tokenize(&context, request, &response);
  if (!status.ok()) return ErrorOf(status);
  return response;
}

absl::StatusOr<v1::GetModelInfoResponse> Client::GetModelInfo(absl::Duration deadline) {
  grpc::ClientContext context;
  Prepare(&context, deadline);
  v1::GetModelInfoResponse response;
  const grpc::Status status = stub_->GetModelInfo(&context, {}, &response);
  if (!status.ok()) return ErrorOf(status);
  return response;
}

absl::Status Client::EncodeTokens(
    const v1::EncodeTokensRequest& request, absl::Duration deadline,
    const std::function<void(const v1::EncodeTokensResponse&)>& take) {
  grpc::ClientContext context;
  Prepare(&context, deadline);
  const auto reader = stub_->EncodeTokens(&context, request);
  v1::EncodeTokensResponse response;
  while (reader->Read(&response)) take(response);
  return ErrorOf(reader->Finish());
}

absl::StatusOr<std::string> Client::Health(const std::string& service, absl::Duration deadline) {
  grpc::ClientContext context;
  Prepare(&context, deadline);
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status =
      grpc::health::v1::Health::NewStub(channel_)->Check(&context, request, &response);
  if (!status.ok()) return ErrorOf(status);
  return grpc::health::v1::HealthCheckResponse::ServingStatus_Name(response.status());
}

bool Client::AwaitConnection(absl::Duration limit) {
  return channel_->WaitForConnected(absl::ToChronoTime(absl::Now() + limit));
}

}  // namespace longspan
