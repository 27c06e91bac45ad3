#include "server/text/truncation.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

// `room`: tokens of the body that one window holds.
absl::StatusOr<BodyRanges> WindowRanges(const EncodeInput& input, TokenRange body, int64_t room) {
  const int64_t overlap = input.window_overlap;
  if (2 * overlap >= room) {
    return InvalidField(
        "options.window_overlap_tokens",
        absl::StrCat("is ", overlap, "; allowed: below half the window of ", room, " tokens"));
  }
  BodyRanges windows;
  for (int64_t begin = body.begin;; begin += room - overlap) {
    windows.push_back({{begin, std::min(begin + room, body.end)}});
    if (begin + room >= body.end) return windows;
  }
}

}  // namespace

absl::StatusOr<BodyRanges> Truncate(const EncodeInput& input, const TokenLayout& layout,
                                    int64_t max_tokens, std::string_view who) {
  const TokenRange body = layout.body;
  if (max_tokens == 0 || layout.size() <= max_tokens) return BodyRanges{{body}};
  const int64_t room = max_tokens - layout.frame();
  if (input.truncation == Truncation::kReject || room < 1) {
    return WithReason(
        InvalidField(
            ContentField(input),
            absl::StrCat("has ", layout.size(), " tokens; ",
                         absl::string_view(who.data(), who.size()), " takes at most ", max_tokens,
                         room < 1 ? " (prompt included)" : " (set truncation)")),
        kReasonMaxTokens);
  }
  switch (input.truncation) {
    case Truncation::kReject:  // has returned above
    case Truncation::kHead:
      return BodyRanges{{{body.begin, body.begin + room}}};
    case Truncation::kTail:
      return BodyRanges{{{body.end - room, body.end}}};
    case Truncation::kHeadTail:
      return BodyRanges{
          {{body.begin, body.begin + (room + 1) / 2}, {body.end - room / 2, body.end}}};
    case Truncation::kWindows:
      return WindowRanges(input, body, room);
  }
  return absl::InternalError("unknown truncation");
}

}  // namespace longspan
