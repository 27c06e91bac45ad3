#include "client/client.h"

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpc/health/v1/health.grpc.pb.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/retry.h"
#include "client/server_name.h"
#include "client/steady_now.h"
#include "client/unanswered.h"

namespace longspan {
namespace {

// Limit of a message in each direction. gRPC's default for a received one is 4 MiB, which the
// vectors of many spans exceed.
constexpr int kMaxMessageBytes = 64 << 20;

// Inputs of an EncodeStream that are kept until they are answered. A server works on 64 of a stream
// at once (--max-stream-inputs).
constexpr size_t kMostUnanswered = 256;
constexpr size_t kMostUnansweredBytes = 64 << 20;

// Tells the server the largest answer that comes through, where the caller names none.
template <typename Limited>
void SetAnswerLimit(Limited* limited) {
  if (limited->max_answer_bytes() == 0) limited->set_max_answer_bytes(kMaxMessageBytes);
}

// gRPC's defaults are one second and two minutes. With these, a server that is just starting is
// found within a second.
constexpr int kFirstReconnectBackoffMs = 200;
constexpr int kMaxReconnectBackoffMs = 1000;

// A server that is frozen, or whose machine is gone, closes no connection. While calls wait for it
// it is asked whether it is there, as often as servers allow (their --keepalive is of 10 s), and
// left after a while. gRPC's default of two questions without data in between is too few for the
// answer to a book.
constexpr int kKeepaliveMs = 10'000;
constexpr int kKeepaliveTimeoutMs = 20'000;
// A name's addresses are looked up again when a connection is lost; gRPC's default is once in 30 s,
// in which a rollout can replace all servers that are known.
constexpr int kLookUpAgainMs = 2'000;

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

// A moment for gRPC, which takes those of the system's clock and reads them at once. It must be the
// clock that gRPC reads: absl::Now is late when the time is set.
std::chrono::system_clock::time_point FromNow(absl::Duration left) {
  return absl::ToChronoTime(absl::FromChrono(std::chrono::system_clock::now()) + left);
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

Client::Client(std::shared_ptr<grpc::Channel> channel, const ClientOptions& options)
    : channel_(std::move(channel)),
      key_(options.key),
      proxy_(options.proxy),
      retry_(options.retry),
      reach_limit_(options.reach_limit),
      stub_(v1::EncoderService::NewStub(channel_)) {}

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const ClientOptions& options) {
  if (absl::Status status = CheckServerName(options.server); !status.ok()) return status;
  const auto credentials = Credentials(options.ca_file);
  if (!credentials.ok()) return credentials.status();
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectBackoffMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectBackoffMs);
  // Calls go to all addresses of the name in turn: those of a headless Service are all servers.
  arguments.SetLoadBalancingPolicyName("round_robin");
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, kLookUpAgainMs);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, options.own_connection ? 1 : 0);
  // Further attempts are ours (retry.h). gRPC would make 5 at the most, whatever the deadline.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  if (IsReachedDirectly(options.server)) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return std::unique_ptr<Client>(
      new Client(grpc::CreateCustomChannel(options.server, *credentials, arguments), options));
}

absl::Status Client::ErrorOf(const grpc::Status& status) const {
  absl::Status error = FromGrpc(status);
  if (proxy_.empty() || (!absl::IsUnavailable(error) && !absl::IsDeadlineExceeded(error)))
    return error;
  return absl::Status(error.code(),
                      absl::StrCat(error.message(), " [by way of the proxy ", proxy_,
                                   "; no_grpc_proxy lists hosts that are reached directly]"));
}

void Client::Prepare(grpc::ClientContext* context, absl::Duration deadline) const {
  context->set_deadline(FromNow(deadline));
  if (!key_.empty()) context->AddMetadata("authorization", "Bearer " + key_);
}

absl::Status Client::Repeat(
    absl::Duration deadline,
    const std::function<grpc::Status(grpc::ClientContext* context)>& attempt) {
  Retry retry({.allowed = retry_, .deadline = deadline, .reach_limit = reach_limit_});
  grpc::Status before;  // of the attempt before this one
  while (true) {
    grpc::ClientContext context;
    Prepare(&context, retry.Left());
    const grpc::Status status = attempt(&context);
    if (channel_->GetState(/*try_to_connect=*/false) == GRPC_CHANNEL_READY || status.ok())
      reached_ = true;
    if (status.ok()) return absl::OkStatus();
    const auto pause = retry.PauseAfter(status.error_code(), PushbackOf(context, status), reached_);
    if (pause.has_value()) {
      before = status;
      Rest(*pause);
      continue;
    }
    absl::Status error = ErrorOf(status);
    if (retry.attempts() == 1) return error;
    const std::string earlier =
        before.error_code() == status.error_code()
            ? ""
            : absl::StrCat("; the attempt before: ", FromGrpc(before).message());
    return absl::Status(
        error.code(),
        absl::StrCat(error.message(), earlier, " [", retry.attempts(), " attempts in ",
                     absl::FormatDuration(absl::Trunc(retry.Elapsed(), absl::Milliseconds(100))),
                     "]"));
  }
}

// A caller that merely sleeps sees a new connection up to 5 s late, because nothing then drives
// gRPC's sockets.
void Client::Rest(absl::Duration pause) {
  if (channel_->GetState(/*try_to_connect=*/true) == GRPC_CHANNEL_READY) {
    absl::SleepFor(pause);
  } else {
    AwaitConnection(pause);
  }
}

template <typename Request, typename Response>
absl::StatusOr<Response> Client::Call(grpc::Status (v1::EncoderService::Stub::*method)(
                                          grpc::ClientContext*, const Request&, Response*),
                                      const Request& request, absl::Duration deadline) {
  Response response;
  const absl::Status status = Repeat(deadline, [&](grpc::ClientContext* context) {
    return (stub_.get()->*method)(context, request, &response);
  });
  if (!status.ok()) return status;
  return response;
}

absl::StatusOr<v1::EncodeResponse> Client::Encode(const v1::EncodeRequest& request,
                                                  absl::Duration deadline) {
  v1::EncodeRequest limited = request;
  SetAnswerLimit(limited.mutable_options());
  return Call(&v1::EncoderService::Stub::Encode, limited, deadline);
}

absl::StatusOr<v1::TokenizeResponse> Client::Tokenize(const v1::TokenizeRequest& request,
                                                      absl::Duration deadline) {
  v1::TokenizeRequest limited = request;
  SetAnswerLimit(&limited);
  return Call(&v1::EncoderService::Stub::Tokenize, limited, deadline);
}

absl::StatusOr<v1::SearchResponse> Client::Search(const v1::SearchRequest& request,
                                                  absl::Duration deadline) {
  v1::SearchRequest limited = request;
  SetAnswerLimit(limited.mutable_options());
  return Call(&v1::EncoderService::Stub::Search, limited, deadline);
}

absl::StatusOr<v1::PutDocumentsResponse> Client::PutDocuments(
    const v1::PutDocumentsRequest& request, absl::Duration deadline) {
  return Call(&v1::EncoderService::Stub::PutDocuments, request, deadline);
}

absl::StatusOr<v1::DeleteDocumentsResponse> Client::DeleteDocuments(
    const v1::DeleteDocumentsRequest& request, absl::Duration deadline) {
  return Call(&v1::EncoderService::Stub::DeleteDocuments, request, deadline);
}

absl::StatusOr<v1::ListCollectionsResponse> Client::ListCollections(absl::Duration deadline) {
  return Call(&v1::EncoderService::Stub::ListCollections, v1::ListCollectionsRequest(), deadline);
}

absl::StatusOr<v1::GetModelInfoResponse> Client::GetModelInfo(absl::Duration deadline) {
  return Call(&v1::EncoderService::Stub::GetModelInfo, v1::GetModelInfoRequest(), deadline);
}

absl::Status Client::EncodeTokens(
    const v1::EncodeTokensRequest& request, absl::Duration deadline,
    const std::function<void(const v1::EncodeTokensResponse&)>& take) {
  uint64_t taken = 0;     // rows that `take` has seen
  bool complete = false;  // so has the last message
  return Repeat(deadline, [&](grpc::ClientContext* context) {
    const auto reader = stub_->EncodeTokens(context, request);
    v1::EncodeTokensResponse response;
    uint64_t end = 0;  // rows of this attempt
    while (reader->Read(&response)) {
      const uint64_t begin = std::exchange(end, end + response.token_count());
      if (complete || (response.token_count() > 0 && end <= taken)) continue;
      if (response.token_count() > 0 && begin != taken) {
        // Another server may cut its messages in other places.
        context->TryCancel();
        reader->Finish();
        return grpc::Status(grpc::StatusCode::ABORTED,
                            absl::StrCat("the rows after an attempt that failed begin at row ",
                                         begin, ", not at ", taken));
      }
      taken = std::max(taken, end);
      complete = response.tokens_total() > 0;
      take(response);
    }
    return reader->Finish();
  });
}

absl::Status Client::EncodeStream(
    const v1::EncodeOptions& options, const std::function<std::optional<v1::Input>()>& next,
    absl::Duration deadline, const std::function<void(const v1::EncodeStreamResponse&)>& take) {
  Unanswered unanswered(next, kMostUnanswered, kMostUnansweredBytes);
  return Repeat(deadline, [&](grpc::ClientContext* context) {
    unanswered.Begin();
    const auto stream = stub_->EncodeStream(context);
    std::thread sender([&] {
      v1::EncodeStreamRequest request;
      *request.mutable_options() = options;  // of the first message, and so of all
      SetAnswerLimit(request.mutable_options());
      while (auto input = unanswered.ToSend()) {
        *request.mutable_input() = *std::move(input);
        if (!stream->Write(request)) return;
        request.clear_options();
      }
      stream->WritesDone();
    });
    v1::EncodeStreamResponse response;
    while (stream->Read(&response)) {
      // A server that drains refuses what it reads late: another one answers it.
      if (response.encoding().status().code() == grpc::StatusCode::UNAVAILABLE) continue;
      if (unanswered.Answer(&response)) take(response);
    }
    unanswered.Break();
    sender.join();
    grpc::Status status = stream->Finish();
    if (status.ok() && !unanswered.Done())
      status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the stream ended before its answers");
    return status;
  });
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
  // gRPC takes moments of the wall clock, each of which it reads once. So each wait gets a new one.
  const absl::Time until = SteadyNow() + limit;
  while (true) {
    const grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/true);
    if (state == GRPC_CHANNEL_READY) return true;
    const absl::Duration left = until - SteadyNow();
    if (left <= absl::ZeroDuration() || !channel_->WaitForStateChange(state, FromNow(left)))
      return false;
  }
}

}  // namespace longspan
