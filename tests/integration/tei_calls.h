// Calls of tei.v1 for tests, with everything that came back.
#pragma once

#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <tei/v1/tei.grpc.pb.h>

#include <memory>
#include <string>
#include <vector>

#include "client/client.h"

namespace longspan {

struct TeiStubs {
  explicit TeiStubs(const Client& client)
      : info(tei::v1::Info::NewStub(client.channel())),
        embed(tei::v1::Embed::NewStub(client.channel())),
        tokenize(tei::v1::Tokenize::NewStub(client.channel())) {}

  std::unique_ptr<tei::v1::Info::Stub> info;
  std::unique_ptr<tei::v1::Embed::Stub> embed;
  std::unique_ptr<tei::v1::Tokenize::Stub> tokenize;
};

// What the details of a status say.
struct TeiDetails {
  explicit TeiDetails(const grpc::Status& status) {
    google::rpc::Status detailed;
    detailed.ParseFromString(status.error_details());
    for (const auto& any : detailed.details()) {
      google::rpc::BadRequest bad;
      google::rpc::RetryInfo retry;
      google::rpc::ErrorInfo error;
      if (any.UnpackTo(&bad)) field = bad.field_violations(0).field();
      if (any.UnpackTo(&retry)) {
        retry_seconds =
            static_cast<double>(retry.retry_delay().seconds()) + retry.retry_delay().nanos() * 1e-9;
      }
      if (any.UnpackTo(&error)) reason = error.reason();
    }
  }
  std::string field, reason;
  double retry_seconds = 0;
};

template <typename Response>
struct TeiResult {
  grpc::Status status;
  Response response;
  TeiDetails details() const { return TeiDetails(status); }
};

// A unary call: CallTei<Response>(client, [&](auto* context, auto* response) { ... }).
template <typename Response, typename Call>
TeiResult<Response> CallTei(const Client& client, const Call& call,
                            absl::Duration deadline = absl::Seconds(20)) {
  TeiResult<Response> result;
  grpc::ClientContext context;
  client.Prepare(&context, deadline);
  result.status = call(&context, &result.response);
  return result;
}

inline TeiResult<tei::v1::EmbedResponse> Embed(const Client& client,
                                               const tei::v1::EmbedRequest& request,
                                               absl::Duration deadline = absl::Seconds(20)) {
  const TeiStubs stubs(client);
  return CallTei<tei::v1::EmbedResponse>(
      client,
      [&](auto* context, auto* response) { return stubs.embed->Embed(context, request, response); },
      deadline);
}

inline TeiResult<tei::v1::EmbedAllResponse> EmbedAll(const Client& client,
                                                     const tei::v1::EmbedAllRequest& request) {
  const TeiStubs stubs(client);
  return CallTei<tei::v1::EmbedAllResponse>(client, [&](auto* context, auto* response) {
    return stubs.embed->EmbedAll(context, request, response);
  });
}

inline TeiResult<tei::v1::EmbedSparseResponse> EmbedSparse(
    const Client& client, const tei::v1::EmbedSparseRequest& request) {
  const TeiStubs stubs(client);
  return CallTei<tei::v1::EmbedSparseResponse>(client, [&](auto* context, auto* response) {
    return stubs.embed->EmbedSparse(context, request, response);
  });
}

inline TeiResult<tei::v1::EncodeResponse> Tokenize(const Client& client,
                                                   const tei::v1::EncodeRequest& request) {
  const TeiStubs stubs(client);
  return CallTei<tei::v1::EncodeResponse>(client, [&](auto* context, auto* response) {
    return stubs.tokenize->Tokenize(context, request, response);
  });
}

inline TeiResult<tei::v1::DecodeResponse> Decode(const Client& client,
                                                 const std::vector<uint32_t>& ids,
                                                 bool skip_special_tokens = false) {
  const TeiStubs stubs(client);
  tei::v1::DecodeRequest request;
  request.mutable_ids()->Add(ids.begin(), ids.end());
  request.set_skip_special_tokens(skip_special_tokens);
  return CallTei<tei::v1::DecodeResponse>(client, [&](auto* context, auto* response) {
    return stubs.tokenize->Decode(context, request, response);
  });
}

inline tei::v1::EmbedRequest EmbedText(const std::string& text) {
  tei::v1::EmbedRequest request;
  request.set_inputs(text);
  return request;
}

}  // namespace longspan
