// Where requests are read and answers are made. Small ones where they are: on the thread of gRPC
// that received the request, on the worker that computed the answer. Large ones on a thread of the
// tokenizer pool, where large jobs never hold up small ones and clients have equal shares. To read
// a request of 65,536 spans takes 10 to 30 ms, and thirty of them at once would keep the few
// threads of gRPC from everybody for a quarter of a second; to write the answer takes as long.
//
// Thread safety: may be called from any thread. Proven by message_threads_test.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "server/engine/tokenizer_pool.h"
#include "server/rpc/call_record.h"
#include "server/text/prepared_text.h"

namespace longspan {

// Bytes of a request that are read at once, in about a millisecond.
inline constexpr int64_t kInlineRequestBytes = 64 << 10;
// So many bytes are read in the time in which one is tokenised. On a core of Emerald Rapids a byte
// of spans takes 17 to 30 ns to read, and one of English 400 ns to tokenise.
inline constexpr int64_t kBytesReadAsOneTokenised = 16;
// Values of an answer that are copied at once: 1 MiB of floats, which takes a millisecond or two.
inline constexpr int64_t kInlineAnswerValues = 1 << 18;

// Calls read(status) once: now, or on a thread of `pool`. The status is that of TokenizerPool::Job.
// Where there is no memory to hand it over, the reason is returned, and nothing is called.
template <typename Read>
absl::Status OnRequestThread(TokenizerPool* pool, const std::string& client, int64_t bytes,
                             Read read) {
  if (bytes <= kInlineRequestBytes) {
    read(absl::OkStatus());
    return absl::OkStatus();
  }
  return WithoutThrowing([&] {
    // Reading costs a fraction of what tokenising does, so every request is small to the pool.
    pool->Submit(client, std::min(bytes / kBytesReadAsOneTokenised, TokenizerPool::kLargeBytes),
                 TokenizerPool::Job(std::move(read)), bytes);
    return absl::OkStatus();
  });
}

inline int64_t NumValues(const EncodedDocument& document) {
  const int64_t of_a_span =
      document.spans.empty() ? 0 : static_cast<int64_t>(document.spans.front().vector.size());
  int64_t values = static_cast<int64_t>(document.vector.size()) +
                   static_cast<int64_t>(document.spans.size()) * of_a_span;
  if (document.lexical != nullptr) {
    values += 2 * document.lexical->size();
    for (const EncodedSpan& span : document.spans)
      values += span.lexical == nullptr ? 0 : 2 * span.lexical->size();
  }
  return values;
}

// Calls `make` once, now or on a thread of `pool`; also where the pool no longer takes jobs.
inline void OnAnswerThread(TokenizerPool* pool, const std::string& client, int64_t num_values,
                           absl::AnyInvocable<void()> make) {
  if (num_values <= kInlineAnswerValues) return make();
  pool->Submit(client, num_values * static_cast<int64_t>(sizeof(float)),
               [make = std::move(make)](const absl::Status&) mutable { make(); });
}

}  // namespace longspan
