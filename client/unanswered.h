// Unanswered: the inputs of an EncodeStream that have no answer yet. When the stream breaks, they
// are sent again on the next one, each once more, before any new ones. On the wire an input has a
// number for its id, so that callers may give several inputs the same.
//
// Thread safety: all methods may be called from any thread; one thread sends.
#pragma once

#include <longspan/v1/encoder.pb.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace longspan {

class Unanswered {
 public:
  // `next` gives the inputs, one a call, and nothing at the end. `most`: so many are kept, and then
  // no new one is taken until one is answered. `most_bytes`: nor while they have as many bytes.
  Unanswered(std::function<std::optional<v1::Input>()> next, size_t most, size_t most_bytes)
      : next_(std::move(next)), most_(most), most_bytes_(most_bytes) {}

  // A new stream: what is unanswered is to be sent again.
  void Begin();
  // The next input to send, with its number for an id. Waits while as many as may be are
  // unanswered. Nothing where all were sent, or the stream is broken.
  std::optional<v1::Input> ToSend();
  // The stream ends: nobody waits in ToSend any longer.
  void Break();
  // Gives the answer the id of its input; false where no such input waits for an answer.
  bool Answer(v1::EncodeStreamResponse* response);
  // All inputs were given, and each has an answer.
  bool Done() const;

 private:
  const std::function<std::optional<v1::Input>()> next_;  // for the thread that sends
  const size_t most_;
  const size_t most_bytes_;
  mutable absl::Mutex mu_;
  std::map<uint64_t, v1::Input> inputs_ ABSL_GUARDED_BY(mu_);  // by number
  size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;                      // of those
  uint64_t numbers_ ABSL_GUARDED_BY(mu_) = 0;                  // given so far, from 1
  uint64_t sent_to_ ABSL_GUARDED_BY(mu_) = 0;                  // on this stream, the highest number
  bool at_end_ ABSL_GUARDED_BY(mu_) = false;                   // `next` has nothing more
  bool broken_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
