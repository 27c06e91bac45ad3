#include "server/rpc/grpc_dial.h"

#include <grpc/health/v1/health.grpc.pb.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/rpc/health_service.h"

namespace longspan {

absl::Status DialGrpc(const std::string& target, bool uses_tls, absl::Duration timeout) {
  grpc::ChannelArguments arguments;
  // A connection of its own: one that still stands from an earlier dial would prove nothing.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  const auto channel =
      grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), arguments);
  const auto deadline = absl::ToChronoTime(absl::Now() + timeout);
  if (uses_tls) {
    // A plain channel cannot finish the handshake. What can be seen is that the port took the
    // connection and answered.
    grpc_connectivity_state state = channel->GetState(true);
    while (state == GRPC_CHANNEL_IDLE && channel->WaitForStateChange(state, deadline))
      state = channel->GetState(true);
    return state == GRPC_CHANNEL_IDLE ? absl::UnavailableError("the gRPC port does not answer")
                                      : absl::OkStatus();
  }
  grpc::ClientContext context;
  context.set_deadline(deadline);
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(kLivenessService);
  grpc::health::v1::HealthCheckResponse response;
  const grpc::Status status =
      grpc::health::v1::Health::NewStub(channel)->Check(&context, request, &response);
  if (status.ok()) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("the gRPC port ", target, " does not answer: ", status.error_message()));
}

}  // namespace longspan
