// AnswerRoom: the room that one answer takes in memory, from before its vectors are computed until
// its reader has taken it. Admission counts it by client, so callers that do not read their answers
// run into a bound of their own (Admission::ReserveAnswer), and what is computed but not sent shows
// in a metric.
//
// The call makes it, the tokenizer thread adds to it as soon as it knows how many vectors a text
// gets, and the call closes it when its answer is sent or dropped. What is added after that counts
// nothing: the text was cancelled with its call.
//
// Thread safety: all methods may be called from any thread. Proven by answer_room_test.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "server/batching/admission.h"

namespace longspan {

class AnswerRoom {
 public:
  // Of one text, beside its vectors: counts, flags, the ranges that were read, the timings.
  static constexpr int64_t kTextBytes = 128;
  // Of one span, beside its vector: three ranges of two numbers, and the lengths of it all.
  static constexpr int64_t kSpanBytes = 80;
  // Of one entry of a lexical vector: two numbers with their names as JSON, the widest form.
  static constexpr int64_t kLexicalBytes = 40;

  // `vector_bytes`: of one vector as it is sent. `admission` outlives the object.
  AnswerRoom(Admission* admission, std::string client, int64_t vector_bytes)
      : admission_(admission), client_(std::move(client)), vector_bytes_(vector_bytes) {}
  ~AnswerRoom() { Close(); }
  AnswerRoom(const AnswerRoom&) = delete;
  AnswerRoom& operator=(const AnswerRoom&) = delete;

  // Room for one text's vectors. The refusals are those of Admission::ReserveAnswer.
  absl::Status AddText(bool has_document_vector, int64_t num_spans) {
    return Add(kTextBytes + (has_document_vector ? vector_bytes_ : 0) +
               num_spans * (kSpanBytes + vector_bytes_));
  }
  absl::Status Add(int64_t bytes) {
    absl::MutexLock lock(&mu_);
    if (closed_) return absl::OkStatus();
    absl::Status status = admission_->ReserveAnswer(client_, bytes, bytes_);
    if (status.ok()) bytes_ += bytes;
    return status;
  }
  // Gives everything back. Calls after the first do nothing.
  void Close() {
    absl::MutexLock lock(&mu_);
    closed_ = true;
    if (bytes_ > 0) admission_->ReleaseAnswer(client_, std::exchange(bytes_, 0));
  }

 private:
  Admission* const admission_;
  const std::string client_;
  const int64_t vector_bytes_;
  absl::Mutex mu_;
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace longspan
