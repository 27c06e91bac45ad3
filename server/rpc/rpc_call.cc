#include "server/rpc/rpc_call.h"

#include <google/protobuf/io/zero_copy_stream.h>
#include <google/protobuf/stubs/logging.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/rpc/caller_metadata.h"
#include "server/rpc/metadata_limit.h"
#include "server/wire/status.h"
#include "server/wire/wire_limits.h"

namespace longspan {
namespace {

// protobuf tells which string field is not UTF-8 in a log line only. The line is kept, per thread,
// instead of printed.
thread_local std::string last_protobuf_message;
void KeepProtobufMessage(google::protobuf::LogLevel, const char*, int, const std::string& message) {
  last_protobuf_message = message;
}

std::string WhyUnparsable(const std::string& type) {
  const size_t quote = last_protobuf_message.find('\'');
  if (last_protobuf_message.find("invalid UTF-8") == std::string::npos ||
      quote == std::string::npos) {
    return absl::StrCat("the request is not a valid ", type, " message");
  }
  const std::string field = last_protobuf_message.substr(
      quote + 1, last_protobuf_message.find('\'', quote + 1) - quote - 1);
  return absl::StrCat("string field ", field, " is not valid UTF-8; allowed: UTF-8");
}

std::string MetadataOf(const grpc::CallbackServerContext& context, const char* name) {
  const auto found = context.client_metadata().find(name);
  return found == context.client_metadata().end()
             ? ""
             : std::string(found->second.data(), found->second.size());
}

Caller CallerOf(const grpc::CallbackServerContext& context) {
  Caller caller{.peer = context.peer(),
                .request_id = MetadataOf(context, "x-request-id"),
                .traceparent = MetadataOf(context, "traceparent")};
  const auto deadline = context.deadline();
  if (deadline != std::chrono::system_clock::time_point::max())
    caller.patience = absl::FromChrono(deadline - std::chrono::system_clock::now());
  return caller;
}

}  // namespace

RpcCall::RpcCall(RpcMethod method, grpc::CallbackServerContext* context, const ServiceParts* parts)
    : CallRecord(method, parts, CallerOf(*context)), context_(context) {
  listed_ = parts->open_calls->Add(method, address(), context_);
}

void RpcCall::Close() {
  if (std::exchange(open_, false)) parts().open_calls->Remove(listed_);
}

void RpcCall::ReadBegins(std::weak_ptr<OpenCalls::Reader> reader, bool whole_request) {
  parts().open_calls->ReadBegins(listed_, std::move(reader), whole_request);
}

void RpcCall::ReadEnds() { parts().open_calls->ReadEnds(listed_); }

void RpcCall::WriteBegins(int64_t bytes) {
  // Not before there is an answer. An error must be a single frame ("Trailers-Only"): gRPC's
  // clients repeat no call of which initial metadata have come.
  if (!std::exchange(is_named_, true)) context_->AddInitialMetadata("x-request-id", request_id());
  parts().open_calls->WriteBegins(listed_, bytes);
}

void RpcCall::WriteEnds() { parts().open_calls->WriteEnds(listed_); }

absl::Status RpcCall::Admit() {
  if (absl::Status status = CheckPhase(); !status.ok()) return status;
  if (absl::Status status = CheckMetadata(*context_); !status.ok()) return status;
  std::string key_name;
  absl::Status status = parts().keys->Check(MetadataOf(*context_, "authorization"), &key_name);
  SetKey(std::move(key_name));
  return status;
}

absl::Status RpcCall::NoteReceived(const grpc::ByteBuffer& message) {
  absl::Status status = CheckSize(static_cast<int64_t>(message.Length()));
  if (!status.ok()) return status;
  parts().open_calls->ReadArrived(listed_);
  parts().open_calls->Accept(listed_);
  return absl::OkStatus();
}

absl::Status RpcCall::WhyNoRequest() const {
  return context_->IsCancelled() ? WhyCancelled()
                                 : absl::InvalidArgumentError("the call has no request message");
}

grpc::Status RpcCall::Finish(const absl::Status& status) {
  Record(status);
  if (!std::exchange(is_named_, true)) context_->AddTrailingMetadata("x-request-id", request_id());
  if (const std::string pushback = RetryPushbackMs(status); !pushback.empty()) {
    context_->AddTrailingMetadata("grpc-retry-pushback-ms", pushback);
  }
  return ToGrpcStatus(WithDeadlineNote(status));
}

absl::Status ParseRequest(const ServiceParts& parts, const grpc::ByteBuffer& bytes,
                          google::protobuf::Message* message) {
  static google::protobuf::LogHandler* const installed =
      google::protobuf::SetLogHandler(&KeepProtobufMessage);
  (void)installed;
  absl::Status counted =
      CheckWireLimits(bytes, *message->GetDescriptor(), LimitsOfRequests(parts.decoding()));
  if (!counted.ok()) return counted;
  last_protobuf_message.clear();
  grpc::ByteBuffer copy(bytes);  // shares the slices
  grpc::ProtoBufferReader reader(&copy);
  if (reader.status().ok() && message->ParseFromZeroCopyStream(&reader)) return absl::OkStatus();
  return absl::InvalidArgumentError(WhyUnparsable(std::string(message->GetTypeName())));
}

}  // namespace longspan
