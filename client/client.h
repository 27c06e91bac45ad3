// Client: longspan over gRPC for C++ programs and for the command line. Every call has a deadline.
// Encode, Tokenize and GetModelInfo change nothing, so gRPC tries them up to 4 times where the
// server is UNAVAILABLE or overloaded (RESOURCE_EXHAUSTED). Messages may have 64 MiB each way. An
// error keeps the server's code and message.
//
//   auto client = Client::Connect({.server = "127.0.0.1:50051"});
//   auto reply = client->Encode(request, absl::Seconds(60));
//
// Thread safety: all methods may be called from any thread.
#pragma once

#include <grpc/health/v1/health.pb.h>
#include <grpcpp/channel.h>
#include <longspan/v1/encoder.grpc.pb.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace longspan {

struct ClientOptions {
  std::string server = "127.0.0.1:50051";
  std::string ca_file;  // PEM; TLS where it is set
  std::string key;      // bearer key; empty = none
  bool retry = true;
  bool own_connection =
      false;  // true: never shares a connection with another Client of this process
};

class Client {
 public:
  // Connects lazily: a server that is not there shows at the first call. INVALID_ARGUMENT where the
  // CA file cannot be read.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const ClientOptions& options);

  absl::StatusOr<v1::EncodeResponse> Encode(const v1::EncodeRequest& request,
                                            absl::Duration deadline);
  absl::StatusOr<v1::TokenizeResponse> Tokenize(const v1::TokenizeRequest& request,
                                                absl::Duration deadline);
  absl::StatusOr<v1::GetModelInfoResponse> GetModelInfo(absl::Duration deadline);
  // Calls `take` for each message in order.
  absl::Status EncodeTokens(const v1::EncodeTokensRequest& request, absl::Duration deadline,
                            const std::function<void(const v1::EncodeTokensResponse&)>& take);
  // "SERVING", "NOT_SERVING", ...; NOT_FOUND for a service that the server does not know.
  absl::StatusOr<std::string> Health(const std::string& service, absl::Duration deadline);
  // Waits for the connection itself and tells whether it stands. Between calls nobody else drives
  // gRPC's sockets: a connection that is being made while the caller merely sleeps is seen up to 5
  // s late.
  bool AwaitConnection(absl::Duration limit);

  v1::EncoderService::Stub& stub() { return *stub_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  void Prepare(grpc::ClientContext* context,
               absl::Duration deadline) const;  // deadline and key, for calls of one's own

 private:
  Client(std::shared_ptr<grpc::Channel> channel, std::string key);

  const std::shared_ptr<grpc::Channel> channel_;
  const std::string key_;
  const std::unique_ptr<v1::EncoderService::Stub> stub_;
};

// gRPC's status as absl's, with what the details say (field, reason, when to try again) put behind
// the text.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace longspan
