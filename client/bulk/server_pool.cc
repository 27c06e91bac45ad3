#include "client/bulk/server_pool.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/retry.h"
#include "client/steady_now.h"

namespace longspan {
namespace {

constexpr absl::Duration kAway = absl::Seconds(1);
constexpr absl::Duration kAsk = absl::Seconds(10);

bool IsAway(grpc::StatusCode code) {
  return code == grpc::StatusCode::UNAVAILABLE || code == grpc::StatusCode::CANCELLED;
}

// Whether the next text would get the same answer. `overloaded`: the server told when to come
// again. A deadline of the server's own is no sign of that: the text may take too long.
bool ConcernsAll(const grpc::Status& status, bool overloaded) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::NOT_FOUND:
      return true;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return overloaded;
    default:
      return false;
  }
}

absl::Status OtherModel(const std::string& server, const nlohmann::ordered_json& got,
                        const nlohmann::ordered_json& expected) {
  return absl::FailedPreconditionError(
      absl::StrCat(server, " serves another model: ", got.dump(), "; expected: ", expected.dump()));
}

}  // namespace

nlohmann::ordered_json ModelIdentity(const v1::GetModelInfoResponse& info) {
  return {{"model", info.model()},
          {"architecture", info.architecture()},
          {"dtype", info.dtype()},
          {"dimensions", info.dimensions()},
          {"num_parameters", info.num_parameters()},
          {"vocab_size", info.vocab_size()},
          {"normalize", info.normalize()},
          {"default_prompt_name", info.default_prompt_name()},
          {"num_hashes", info.num_hashes()},
          {"hash_seed", info.hash_seed()}};
}

absl::StatusOr<std::unique_ptr<ServerPool>> ServerPool::Connect(
    const ClientOptions& options, const std::vector<std::string>& servers,
    absl::Duration deadline) {
  auto pool = std::unique_ptr<ServerPool>(new ServerPool);
  const absl::Time until = SteadyNow() + deadline;
  const absl::MutexLock lock(&pool->mu_);
  for (const std::string& name : servers) {
    ClientOptions of_server = options;
    of_server.server = name;
    of_server.own_connection = true;
    auto client = Client::Connect(of_server);
    if (!client.ok()) return client.status();
    auto info = (*client)->GetModelInfo(until - SteadyNow());
    if (!info.ok())
      return absl::Status(info.status().code(), absl::StrCat(name, ": ", info.status().message()));
    if (pool->servers_.empty()) pool->info_ = *info;
    if (ModelIdentity(*info) != ModelIdentity(pool->info_))
      return OtherModel(name, ModelIdentity(*info), ModelIdentity(pool->info_));
    pool->servers_.push_back({.name = name, .client = *std::move(client)});
  }
  return pool;
}

ServerPool::Server* ServerPool::Choose(absl::Duration* pause) {
  const absl::MutexLock lock(&mu_);
  const absl::Time now = SteadyNow();
  Server* best = nullptr;
  *pause = kAway;
  for (Server& server : servers_) {
    if (server.is_away && server.away_until > now) {
      *pause = std::min(*pause, server.away_until - now);
    } else if (best == nullptr || server.calls < best->calls) {
      best = &server;
    }
  }
  if (best == nullptr) return nullptr;
  ++best->calls;
  // The others leave it alone while one call asks.
  if (best->is_away) best->away_until = now + kAway;
  return best;
}

void ServerPool::Release(Server* server, const grpc::Status& status) {
  const absl::MutexLock lock(&mu_);
  --server->calls;
  if (!IsAway(status.error_code())) return;
  server->is_away = true;
  server->why_away = status.error_message();
  server->away_until = SteadyNow() + kAway;
}

grpc::Status ServerPool::AskAgain(Server* server, absl::Duration deadline) {
  std::string why_away;
  {
    const absl::MutexLock lock(&mu_);
    if (!server->is_away) return grpc::Status::OK;
    why_away = server->why_away;
  }
  grpc::ClientContext context;
  server->client->Prepare(&context, std::min(deadline, kAsk));
  v1::GetModelInfoResponse info;
  const grpc::Status status = server->client->stub().GetModelInfo(&context, {}, &info);
  if (!status.ok()) {
    // One that does not answer now may do so later; the deadline of the text is not over. What it
    // was away for says more.
    const bool late = status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
    return late ? grpc::Status(grpc::StatusCode::UNAVAILABLE, why_away) : status;
  }
  if (ModelIdentity(info) != ModelIdentity(info_)) {
    const absl::Status other = OtherModel(server->name, ModelIdentity(info), ModelIdentity(info_));
    return grpc::Status(grpc::StatusCode::PERMISSION_DENIED, std::string(other.message()));
  }
  const absl::MutexLock lock(&mu_);
  server->is_away = false;
  return grpc::Status::OK;
}

grpc::Status ServerPool::Call(const Server& server, const v1::EncodeRequest& request,
                              absl::Duration deadline, v1::EncodeResponse* response,
                              std::optional<absl::Duration>* pushback) {
  grpc::ClientContext context;
  server.client->Prepare(&context, deadline);
  {
    const absl::MutexLock lock(&mu_);
    if (cancelled_) return grpc::Status(grpc::StatusCode::CANCELLED, "the run ends");
    open_.insert(&context);
  }
  grpc::Status status = server.client->stub().Encode(&context, request, response);
  {
    const absl::MutexLock lock(&mu_);
    open_.erase(&context);
  }
  if (!status.ok()) *pushback = PushbackOf(context, status);
  return status;
}

void ServerPool::Cancel() {
  const absl::MutexLock lock(&mu_);
  cancelled_ = true;
  for (grpc::ClientContext* context : open_) context->TryCancel();
}

void ServerPool::Rest(absl::Duration pause) {
  const absl::MutexLock lock(&mu_);
  mu_.AwaitWithTimeout(absl::Condition(&cancelled_), pause);
}

ServerPool::Answer ServerPool::Encode(const v1::EncodeRequest& request, absl::Duration deadline) {
  Retry retry({.allowed = true, .deadline = deadline, .reach_limit = deadline});
  while (true) {
    absl::Duration pause;
    Server* const server = Choose(&pause);
    grpc::Status status;
    std::optional<absl::Duration> pushback;
    if (server == nullptr) {
      status = AllAway();
    } else {
      v1::EncodeResponse response;
      status = AskAgain(server, retry.Left());
      if (status.ok()) status = Call(*server, request, retry.Left(), &response, &pushback);
      Release(server, status);
      if (status.ok() && response.encodings_size() == 1)
        return {.encoding = std::move(*response.mutable_encodings(0))};
      if (status.ok()) return {.encoding = absl::InternalError("the answer has not one encoding")};
    }
    // A call that Cancel ends says nothing of its text.
    if (is_cancelled())
      return {.encoding = absl::CancelledError("the run ends"), .concerns_all = true};
    const auto wait = retry.PauseAfter(status.error_code(), pushback, /*reached=*/true);
    if (!wait.has_value()) {
      // A negative pushback says that this text never succeeds.
      const bool overloaded = pushback.has_value() && *pushback >= absl::ZeroDuration();
      return {
          .encoding = FromGrpc(status),
          .concerns_all = ConcernsAll(status, overloaded) || retry.Left() <= absl::ZeroDuration()};
    }
    if (server == nullptr) {
      Rest(pause);
    } else if (!IsAway(status.error_code())) {
      Rest(*wait);
    }  // else another server may be there
  }
}

grpc::Status ServerPool::AllAway() const {
  const absl::MutexLock lock(&mu_);
  std::string why = "no server answers";
  for (const Server& server : servers_)
    absl::StrAppend(&why, "; ", server.name, ": ", server.why_away);
  return grpc::Status(grpc::StatusCode::UNAVAILABLE, why);
}

bool ServerPool::is_cancelled() const {
  const absl::MutexLock lock(&mu_);
  return cancelled_;
}

}  // namespace longspan
