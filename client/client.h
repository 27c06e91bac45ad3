// Client: calls a longspan server over gRPC, from C++ programs and from the command line.
//
// Every call has a deadline, which covers all attempts of the call together. Calls change nothing
// on the server, or leave it as one of them would (PutDocuments, DeleteDocuments), so they are made
// again while it is UNAVAILABLE (it starts anew) or overloaded (RESOURCE_EXHAUSTED), as
// client/retry.h says: a server that was reached before until the deadline, one that never was for
// 10 s. A message may have 64 MiB in each direction, and the calls tell the server so
// (max_answer_bytes), unless the request says otherwise. An error has the code and the message that
// the server gave, and says after how many attempts.
//
// This example is compiled and run by tests/client/client_example_test.cc:
//
//   absl::StatusOr<v1::Vector> VectorOf(const std::string& server, const std::string& text) {
//     const auto client = Client::Connect({.server = server});
//     if (!client.ok()) return client.status();
//     v1::EncodeRequest request;
//     request.add_inputs()->set_text(text);
//     const auto response = (*client)->Encode(request, absl::Seconds(60));
//     if (!response.ok()) return response.status();
//     return response->encodings(0).vector();
//   }
//
// Thread safety: all methods may be called from any thread.
// Ownership: the client holds its channel, and shares it with whoever keeps what channel() returns.
#pragma once

#include <grpc/health/v1/health.pb.h>
#include <grpcpp/channel.h>
#include <longspan/v1/encoder.grpc.pb.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace longspan {

struct ClientOptions {
  // HOST:PORT, unix:PATH, or another name that CheckServerName (client/server_name.h) lets pass. A
  // server on this machine is reached directly, also where the environment names a proxy.
  std::string server = "127.0.0.1:50051";
  // PEM file with the authorities that may sign the server's certificate. Empty = no TLS.
  std::string ca_file;
  // Key that every call sends as "authorization: Bearer KEY". Empty = none is sent.
  std::string key;
  // What ProxyOf (client/server_name.h) says, for errors alone: a server that cannot be reached, or
  // does not answer in time, may be one that the proxy cannot reach. Empty = errors say nothing.
  std::string proxy;
  // Whether further attempts are made, as the class comment says.
  bool retry = true;
  // How long a server that was never reached is tried, within the deadline.
  absl::Duration reach_limit = absl::Seconds(10);
  // Whether this client keeps a connection to itself. By default gRPC lets the clients of one
  // process share a connection to the same server.
  bool own_connection = false;
};

class Client {
 public:
  // Returns before the connection is made, so a server that is not there shows at the first call.
  // INVALID_ARGUMENT where the server's name is none, or the CA file cannot be read.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const ClientOptions& options);

  // The calls of longspan.v1.EncoderService; proto/longspan/v1/encoder.proto describes each
  // request, response and error. `deadline` counts from now; when it passes, the call ends with
  // DEADLINE_EXCEEDED.
  absl::StatusOr<v1::EncodeResponse> Encode(const v1::EncodeRequest& request,
                                            absl::Duration deadline);
  absl::StatusOr<v1::TokenizeResponse> Tokenize(const v1::TokenizeRequest& request,
                                                absl::Duration deadline);
  absl::StatusOr<v1::SearchResponse> Search(const v1::SearchRequest& request,
                                            absl::Duration deadline);
  absl::StatusOr<v1::PutDocumentsResponse> PutDocuments(const v1::PutDocumentsRequest& request,
                                                        absl::Duration deadline);
  absl::StatusOr<v1::DeleteDocumentsResponse> DeleteDocuments(
      const v1::DeleteDocumentsRequest& request, absl::Duration deadline);
  absl::StatusOr<v1::ListCollectionsResponse> ListCollections(absl::Duration deadline);
  absl::StatusOr<v1::GetModelInfoResponse> GetModelInfo(absl::Duration deadline);
  // Calls `take` once for each message of the stream, in order, on the calling thread. After an
  // attempt that failed, the rows that `take` has seen are left out.
  absl::Status EncodeTokens(const v1::EncodeTokensRequest& request, absl::Duration deadline,
                            const std::function<void(const v1::EncodeTokensResponse&)>& take);
  // Encodes any number of inputs over one stream. `next` gives them, one a call, and nothing at the
  // end; it is called on a thread of this call's own. `take` gets an answer for each, in any order,
  // on the calling thread; what is wrong with an input is in the status of its answer. When the
  // stream breaks, the inputs without an answer are sent again, so each is taken once. At most 256
  // are kept for that, and at most 64 MiB of them, or a single one.
  absl::Status EncodeStream(const v1::EncodeOptions& options,
                            const std::function<std::optional<v1::Input>()>& next,
                            absl::Duration deadline,
                            const std::function<void(const v1::EncodeStreamResponse&)>& take);
  // Asks grpc.health.v1.Health, once: "SERVING" or "NOT_SERVING". An empty `service` asks for the
  // whole server. NOT_FOUND for a service that the server does not know.
  absl::StatusOr<std::string> Health(const std::string& service, absl::Duration deadline);
  // Waits until the connection stands, for at most `limit`; false where it does not stand by then.
  // A caller that merely sleeps between its calls would see a new connection up to 5 s late,
  // because nothing then drives gRPC's sockets.
  bool AwaitConnection(absl::Duration limit);

  // For calls that are made in another way, such as without waiting: the stub, its channel, and
  // Prepare, which puts the deadline and the key into the context of such a call.
  v1::EncoderService::Stub& stub() { return *stub_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  void Prepare(grpc::ClientContext* context, absl::Duration deadline) const;

 private:
  Client(std::shared_ptr<grpc::Channel> channel, const ClientOptions& options);
  // Makes a call, and makes it again as retry.h says.
  absl::Status Repeat(absl::Duration deadline,
                      const std::function<grpc::Status(grpc::ClientContext* context)>& attempt);
  // Repeat for a call with one request and one response.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::EncoderService::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const Request& request, absl::Duration deadline);
  // Lets `pause` pass. Shorter where a connection comes to stand meanwhile.
  void Rest(absl::Duration pause);
  // FromGrpc, with the proxy named where there may have been no way to the server.
  absl::Status ErrorOf(const grpc::Status& status) const;

  // Constant after construction.
  const std::shared_ptr<grpc::Channel> channel_;
  const std::string key_;
  const std::string proxy_;
  const bool retry_;
  const absl::Duration reach_limit_;
  const std::unique_ptr<v1::EncoderService::Stub> stub_;
  std::atomic<bool> reached_ = false;  // a connection has stood
};

// gRPC's status as absl's. What its details say (the field that is at fault, the reason, when to
// try again) is appended to the message in square brackets.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace longspan
