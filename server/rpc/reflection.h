// ReflectionServices: grpc.reflection.v1 and its older twin v1alpha, whose messages differ in their
// package only, so that tools such as grpcurl need no .proto file. Answers come from the
// descriptors linked into this process. gRPC 1.51's own library speaks v1alpha alone, asks for no
// key, and switches itself on for every server of the process by being loaded.
//
// A wrong or missing key gets UNAUTHENTICATED, as from every service but health. Unknown names and
// extensions are error responses (NOT_FOUND) inside an open stream, as the protocol has it.
// Thread safety: all methods may be called from any thread. Must outlive the gRPC server it is
// registered with.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "server/rpc/key_ring.h"

namespace longspan {

class ReflectionServices {
 public:
  // `services`: full names that list_services answers, beside the two of reflection itself. `keys`
  // outlives this object.
  ReflectionServices(std::vector<std::string> services, KeyRing* keys);
  ~ReflectionServices();

  void RegisterWith(grpc::ServerBuilder* builder);
  // Ends open streams, so that none of them holds a shutdown; later ones end at once.
  void FinishStreams();

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

}  // namespace longspan
