// Spans of a wanted number of tokens: what a policy finds (sentences, paragraphs), with short spans
// merged and long ones divided.
//
//   max_tokens  A longer span is divided into parts of about equal length. Each cut is made near
//               where it should be, at the best place there: between sentences, else behind a comma
//               or its like, else between words, else between tokens. All spans keep to it.
//   min_tokens  A shorter span takes in the spans behind it until it is long enough: a heading
//               joins what it is the heading of. Where the next one does not fit into max_tokens,
//               or there is none, it joins the one before it. Where that does not fit either, it
//               stays short.
//
// The cost is linear in the tokens of the spans. Not thread safe. Proven by span_sizes_test.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "server/text/encode_input.h"
#include "server/text/prepared_text.h"
#include "server/text/token_layout.h"

namespace longspan {

class SpanSizer {
 public:
  // `take` is called with each span, in order, until it answers false. Sizes are those of `input`.
  // What `stop` says against going on becomes the status. All arguments but `take` must outlive the
  // sizer.
  SpanSizer(const EncodeInput& input, const TokenLayout& layout, const StopCheck& stop,
            std::function<bool(const PreparedSpan&)> take);

  // Spans in the order of the text. False: no further ones are wanted, or status() says why not.
  bool Add(const PreparedSpan& span);
  // Behind the last span.
  bool Finish();
  const absl::Status& status() const { return status_; }

 private:
  // What a cut in front of a token divides; the best last.
  enum class Cut { kCharacter, kToken, kWord, kClause, kSentence };

  bool Divide(const PreparedSpan& span);
  bool FindSentences(const PreparedSpan& span);
  int64_t BestCut(TokenRange tokens) const;
  Cut CutBefore(int64_t token) const;
  PreparedSpan Part(const PreparedSpan& span, TokenRange tokens) const;

  bool Merge(const PreparedSpan& span);
  bool IsShort(const PreparedSpan& span) const {
    return span.tokens.size() < input_.span_min_tokens;
  }
  bool FitTogether(const PreparedSpan& first, const PreparedSpan& second) const;
  bool CloseHeld();

  const EncodeInput& input_;
  const TokenLayout& layout_;
  const StopCheck& stop_;
  const std::function<bool(const PreparedSpan&)> take_;
  absl::Status status_;
  std::vector<int64_t> sentences_;  // where sentences begin in the span that is divided, in bytes
  std::optional<PreparedSpan> ready_;  // waits, for a short span behind it may join it
  std::optional<PreparedSpan> held_;   // still takes in what follows
};

}  // namespace longspan
