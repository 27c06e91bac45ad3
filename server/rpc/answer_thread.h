// OnAnswerThread: where the vectors of a text become a message. Small answers are made where they
// are, on the worker that computed them. One of 65,536 spans takes half a second to copy into its
// message; it is made on a thread of the tokenizer pool, where large jobs never hold up small ones
// and clients have equal shares, while the worker computes for others.
//
// Thread safety: may be called from any thread. Proven by answer_thread_test.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "server/engine/tokenizer_pool.h"
#include "server/text/prepared_text.h"

namespace longspan {

// Values of an answer that are copied at once: 1 MiB of floats, which takes a millisecond or two.
inline constexpr int64_t kInlineAnswerValues = 1 << 18;

inline int64_t NumValues(const EncodedDocument& document) {
  const int64_t of_a_span =
      document.spans.empty() ? 0 : static_cast<int64_t>(document.spans.front().vector.size());
  return static_cast<int64_t>(document.vector.size()) +
         static_cast<int64_t>(document.spans.size()) * of_a_span;
}

// Calls `make` once, now or on a thread of `pool`; also where the pool no longer takes jobs.
inline void OnAnswerThread(TokenizerPool* pool, const std::string& client, int64_t num_values,
                           absl::AnyInvocable<void()> make) {
  if (num_values <= kInlineAnswerValues) return make();
  pool->Submit(client, num_values * static_cast<int64_t>(sizeof(float)),
               [make = std::move(make)](const absl::Status&) mutable { make(); });
}

}  // namespace longspan
