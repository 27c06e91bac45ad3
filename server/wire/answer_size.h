// AnswerSize: the size of the message that answers a call, counted before its vectors are computed,
// against the largest message that the caller takes. A client of gRPC takes 4 MiB unless it is told
// otherwise, and throws a larger answer away when it has been computed and sent. So the caller says
// what it takes (EncodeOptions.max_answer_bytes), and what is larger is refused at once.
//
//   AnswerSize size(CallersAnswerBytes(options.max_answer_bytes()), "options.max_answer_bytes");
//   size.Add(bytes of the first text); size.Add(bytes of the next one);
//     INVALID_ARGUMENT "options.max_answer_bytes allows 4194304 bytes, and the answer has ..."
//
// Thread safety: all methods may be called from any thread. Proven by answer_size_test.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"

namespace longspan {

// GRPC_DEFAULT_MAX_RECV_MESSAGE_LENGTH, of clients that set nothing.
inline constexpr int64_t kUsualAnswerBytes = int64_t{4} << 20;

// What a max_answer_bytes of the contract means.
int64_t CallersAnswerBytes(uint64_t max_answer_bytes);

class AnswerSize {
 public:
  static constexpr int64_t kAnySize = std::numeric_limits<int64_t>::max();

  // `allowed`: bytes of the message. `field`: where the caller sets it, for errors.
  AnswerSize(int64_t allowed, std::string field) : allowed_(allowed), field_(std::move(field)) {}

  // Counts a part of the message. INVALID_ARGUMENT, with the ways out, once it is too large.
  absl::Status Add(int64_t bytes);

 private:
  const int64_t allowed_;
  const std::string field_;
  absl::Mutex mu_;
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace longspan
