#include "server/text/wanted_spans.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/text/span_sizes.h"
#include "server/text/text_segments.h"

namespace longspan {
namespace {

absl::StatusOr<std::vector<PreparedSpan>> GivenTokenSpans(const EncodeInput& input,
                                                          const TokenLayout& layout) {
  std::vector<PreparedSpan> spans;
  spans.reserve(input.spans.size());
  for (size_t i = 0; i < input.spans.size(); ++i) {
    const TextRange range = input.spans[i];
    if (range.begin < 0 || range.end <= range.begin || range.end > layout.size()) {
      return InvalidField(
          absl::StrCat(input.field, ".spans[", i, "]"),
          absl::StrCat("is tokens ", range.begin, "..", range.end,
                       "; allowed: begin < end <= ", layout.size(), ", the number of token_ids"));
    }
    spans.push_back({{}, {}, {range.begin, range.end}, {}});
  }
  return spans;
}

absl::StatusOr<std::vector<PreparedSpan>> GivenTextSpans(const EncodeInput& input,
                                                         const TokenLayout& layout) {
  const auto located = LocateCharacters(input.text, input.spans);
  if (!located.ok()) return AtField(located.status(), input.field + ".spans");
  std::vector<PreparedSpan> spans;
  for (const TextSegment& segment : *located) {
    const TokenRange tokens = TokensOf(layout, segment.bytes);
    if (tokens.size() <= 0) {
      return InvalidField(absl::StrCat(input.field, ".spans[", spans.size(), "]"),
                          "covers no token of the text; allowed: at least one");
    }
    spans.push_back({segment.bytes, segment.characters, tokens, {}});
  }
  return spans;
}

absl::Status TooMany(const EncodeInput& input, absl::string_view count, int64_t max_spans) {
  return WithReason(InvalidField(input.field + ".spans",
                                 absl::StrCat("are ", count, "; allowed: at most ", max_spans)),
                    kReasonMaxSpansPerText);
}

// A segment without a token (a line of control characters, say) is no span. `for_each`:
// ForEachSentence or ForEachParagraph.
template <typename ForEach>
absl::StatusOr<std::vector<PreparedSpan>> SegmentSpans(const EncodeInput& input,
                                                       const TokenLayout& layout, int64_t max_spans,
                                                       const StopCheck& stop,
                                                       const ForEach& for_each) {
  std::vector<PreparedSpan> spans;
  bool too_many = false;
  SpanSizer sizer(input, layout, stop, [&](const PreparedSpan& span) {
    too_many = static_cast<int64_t>(spans.size()) == max_spans;
    if (!too_many) spans.push_back(span);
    return !too_many;
  });
  const auto add = [&](const TextSegment& segment) {
    const TokenRange tokens = TokensOf(layout, segment.bytes);
    return tokens.size() <= 0 || sizer.Add({segment.bytes, segment.characters, tokens, {}});
  };
  absl::Status status = for_each(input.text, add, stop);
  status.Update(sizer.status());
  if (!status.ok()) return status;
  if (!too_many) sizer.Finish();
  if (too_many) return TooMany(input, absl::StrCat("more than ", max_spans), max_spans);
  return spans;
}

absl::StatusOr<std::vector<PreparedSpan>> FixedSpans(const EncodeInput& input,
                                                     const TokenLayout& layout, int64_t max_spans) {
  const int64_t stride = input.span_tokens - input.span_overlap;
  const int64_t behind_first = std::max<int64_t>(0, layout.body.size() - input.span_tokens);
  const int64_t count = layout.body.size() > 0 ? 1 + (behind_first + stride - 1) / stride : 0;
  if (count > max_spans) return TooMany(input, absl::StrCat(count), max_spans);
  std::vector<PreparedSpan> spans;
  const Tokenization& tokens = layout.tokens;
  for (int64_t begin = layout.body.begin; begin < layout.body.end; begin += stride) {
    const int64_t end = std::min(begin + input.span_tokens, layout.body.end);
    PreparedSpan span{{}, {}, {begin, end}, {}};
    if (IsText(input)) {
      span.bytes = {tokens.bytes[begin].begin, tokens.bytes[end - 1].end};
      span.characters = {tokens.characters[begin].begin, tokens.characters[end - 1].end};
    }
    spans.push_back(span);
    if (end == layout.body.end) break;
  }
  return spans;
}

}  // namespace

absl::StatusOr<std::vector<PreparedSpan>> WantedSpans(const EncodeInput& input,
                                                      const TokenLayout& layout, int64_t max_spans,
                                                      const StopCheck& stop) {
  switch (input.span_policy) {
    case SpanPolicy::kNone:
      return std::vector<PreparedSpan>{};
    case SpanPolicy::kGiven:
      if (static_cast<int64_t>(input.spans.size()) > max_spans)
        return TooMany(input, absl::StrCat(input.spans.size()), max_spans);
      return IsText(input) ? GivenTextSpans(input, layout) : GivenTokenSpans(input, layout);
    case SpanPolicy::kSentences:
      return SegmentSpans(input, layout, max_spans, stop, ForEachSentence);
    case SpanPolicy::kParagraphs:
      return SegmentSpans(input, layout, max_spans, stop, ForEachParagraph);
    case SpanPolicy::kFixed:
      return FixedSpans(input, layout, max_spans);
  }
  return absl::InternalError("unknown span policy");
}

}  // namespace longspan
