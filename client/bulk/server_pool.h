// ServerPool: the servers that `longspan bulk` shares its records among. Each call goes to the
// server with the fewest calls open, so a slow one gets less. One that is not there is left out for
// a second at a time, and its calls go to the others. Behind a name of several addresses the calls
// go to each in turn, as those of any Client.
//
// All must serve the same model. A server that was away is asked again before it is used.
//
// Thread safety: Encode may be called from any thread.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>
#include <longspan/v1/encoder.pb.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/client.h"

namespace longspan {

// What of the model an answer depends on, as an object.
nlohmann::ordered_json ModelIdentity(const v1::GetModelInfoResponse& info);

class ServerPool {
 public:
  // Waits for each server, for at most `deadline`. FAILED_PRECONDITION where their models differ.
  static absl::StatusOr<std::unique_ptr<ServerPool>> Connect(
      const ClientOptions& options, const std::vector<std::string>& servers,
      absl::Duration deadline);

  const v1::GetModelInfoResponse& info() const { return info_; }

  struct Answer {
    absl::StatusOr<v1::Encoding> encoding;
    // The error is not that of the one text: the servers are away, overloaded for all of the
    // deadline, or refuse this caller. The next text would fare no better.
    bool concerns_all = false;
  };
  // Encodes the one input of the request. `deadline` is for all attempts together.
  Answer Encode(const v1::EncodeRequest& request, absl::Duration deadline);
  // Ends all calls, also those that begin later, with CANCELLED.
  void Cancel();

 private:
  struct Server {
    std::string name;
    std::unique_ptr<Client> client;
    int calls = 0;
    bool is_away = false;  // its last call found no server; it is asked for its model first
    absl::Time away_until;
    std::string why_away;
  };

  ServerPool() = default;
  // Calls with a context that Cancel knows of.
  grpc::Status Call(const Server& server, const v1::EncodeRequest& request, absl::Duration deadline,
                    v1::EncodeResponse* response, std::optional<absl::Duration>* pushback);
  // Sleeps, unless and until Cancel.
  void Rest(absl::Duration pause);
  bool is_cancelled() const;
  // The server for the next call; null where all are away, with the time until one is tried again.
  Server* Choose(absl::Duration* pause);
  void Release(Server* server, const grpc::Status& status);
  // That all servers are away, and why.
  grpc::Status AllAway() const;
  // OK where the server is there with the same model.
  grpc::Status AskAgain(Server* server, absl::Duration deadline);

  v1::GetModelInfoResponse info_;
  mutable absl::Mutex mu_;
  std::vector<Server> servers_ ABSL_GUARDED_BY(mu_);  // their number and clients are constant
  std::set<grpc::ClientContext*> open_ ABSL_GUARDED_BY(mu_);
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
