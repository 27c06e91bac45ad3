// RpcCall: the record of one gRPC call, and what gRPC adds to it: metadata, keys, trailers, and its
// place among OpenCalls. A reactor owns one RpcCall, calls Admit first and Finish once.
//
// While it is open, the call is one of OpenCalls, from the constructor to Close.
//
// Thread safety: that of a CallRecord (call_record.h). Admit runs on the handler's thread before
// another thread sees the call; Finish runs under the reactor's own lock. ReadBegins to WriteEnds
// may be called from any thread until Close.
#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "server/rpc/call_record.h"
#include "server/rpc/open_calls.h"
#include "server/rpc/service_parts.h"
#include "server/telemetry/metrics.h"

namespace longspan {

class RpcCall : public CallRecord {
 public:
  RpcCall(RpcMethod method, grpc::CallbackServerContext* context, const ServiceParts* parts);

  ~RpcCall() { Close(); }

  // UNAVAILABLE while the server starts or drains, RESOURCE_EXHAUSTED with too much metadata,
  // UNAUTHENTICATED without a known key.
  absl::Status Admit();
  // Counts a message that has come: from now on a drain waits for the answer. RESOURCE_EXHAUSTED
  // where it is larger than max_request_bytes.
  absl::Status NoteReceived(const grpc::ByteBuffer& message);
  // Why a call that should have one request has none.
  absl::Status WhyNoRequest() const;

  // What OpenCalls should know.
  void ReadBegins(std::weak_ptr<OpenCalls::Reader> reader, bool whole_request);
  void ReadEnds();
  void WriteBegins(int64_t bytes);
  void WriteEnds();
  // Ends the call where a message under way keeps it from ending with a status of its own.
  void Cancel() const { context_->TryCancel(); }
  // gRPC holds nothing of the call any more: called in OnDone. Calls after the first do nothing.
  void Close();

  // Whether the caller has gone, as far as gRPC knows by now.
  bool gone() const { return context_->IsCancelled(); }

  // Records the outcome, adds the trailers, and gives the status to hand to the reactor's Finish.
  grpc::Status Finish(const absl::Status& status);

 private:
  grpc::CallbackServerContext* const context_;
  bool open_ = true;          // until Close
  bool is_named_ = false;     // the caller has been told x-request-id
  OpenCalls::Handle listed_;  // valid until Close
};

// Parses a request. INVALID_ARGUMENT where it is malformed, a string is not UTF-8, or it repeats a
// field more often than allowed (wire_limits.h), which is found before anything is built.
absl::Status ParseRequest(const ServiceParts& parts, const grpc::ByteBuffer& bytes,
                          google::protobuf::Message* message);

}  // namespace longspan
