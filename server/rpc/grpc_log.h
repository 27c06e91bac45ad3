// GrpcLog: while it lives, what gRPC has to say goes into the log, as the event `grpc`. By default
// gRPC prints to stderr itself: text among the lines of JSON, and a thread of gRPC would wait for
// whoever reads the log. Callers can make gRPC say something as often as they like (a handshake
// that fails), so of each second only the first lines are logged, and the others are counted.
//
// One at a time. Thread safety: construction and destruction from one thread; gRPC may log on any.
// Ownership: `log` must outlive it.
#pragma once

#include "server/telemetry/log.h"

namespace longspan {

class GrpcLog {
 public:
  explicit GrpcLog(Log* log);
  ~GrpcLog();
  GrpcLog(const GrpcLog&) = delete;
  GrpcLog& operator=(const GrpcLog&) = delete;
};

}  // namespace longspan
