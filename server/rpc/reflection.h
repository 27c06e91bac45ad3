// ReflectionServices: gRPC reflection, so that tools such as grpcurl need no .proto file. It serves
// grpc.reflection.v1 and the older v1alpha, whose messages differ in their package only. Answers
// come from the descriptors that are linked into this process.
//
// Why our own: the library of gRPC 1.51 speaks v1alpha alone, asks for no key, and switches itself
// on for every server of the process by being loaded.
//
// Requests are read like all others (OpenCalls), and one of more than 64 KiB is refused.
//
// A wrong or missing key gets UNAUTHENTICATED, as from every service but health. Unknown names and
// extensions get an error response (NOT_FOUND) inside the open stream, as the protocol says.
//
// Thread safety: all methods may be called from any thread. Must outlive the gRPC server that it is
// registered with.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "server/rpc/key_ring.h"
#include "server/rpc/open_calls.h"

namespace longspan {

class ReflectionServices {
 public:
  // `services`: the full names that list_services answers, beside the two of reflection itself.
  // `keys` and `calls` outlive this object.
  ReflectionServices(std::vector<std::string> services, KeyRing* keys, OpenCalls* calls);
  ~ReflectionServices();

  void RegisterWith(grpc::ServerBuilder* builder);
  // Ends the open streams with UNAVAILABLE, each behind the answer that it is writing, so that none
  // of them holds a shutdown. Later ones end at once.
  void FinishStreams();

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

}  // namespace longspan
