#include "server/text/span_sizes.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "server/text/text_segments.h"
#include "server/text/utf8.h"

namespace longspan {
namespace {

// White space between two tokens that is looked at to tell what stands around it.
constexpr int kMostBlanks = 8;

// Punctuation within a sentence: behind it is a better place to divide than between any two words.
bool EndsClause(char32_t c) {
  static constexpr std::u32string_view kMarks = U",;:—–)]،؛、，；：…";
  return kMarks.find(c) != std::u32string_view::npos;
}
// Marks of scripts that write no space behind them.
bool IsWide(char32_t c) { return c >= 0x3000; }

PreparedSpan Joined(const PreparedSpan& first, const PreparedSpan& second) {
  return {{first.bytes.begin, second.bytes.end},
          {first.characters.begin, second.characters.end},
          {first.tokens.begin, second.tokens.end},
          {}};
}

}  // namespace

SpanSizer::SpanSizer(const EncodeInput& input, const TokenLayout& layout, const StopCheck& stop,
                     std::function<bool(const PreparedSpan&)> take)
    : input_(input), layout_(layout), stop_(stop), take_(std::move(take)) {}

bool SpanSizer::Add(const PreparedSpan& span) {
  const bool is_long = input_.span_max_tokens > 0 && span.tokens.size() > input_.span_max_tokens;
  return is_long ? Divide(span) : Merge(span);
}

bool SpanSizer::Finish() {
  if (held_.has_value() && !CloseHeld()) return false;
  return !ready_.has_value() || take_(*std::exchange(ready_, std::nullopt));
}

bool SpanSizer::Divide(const PreparedSpan& span) {
  if (!FindSentences(span)) return false;
  TokenRange rest = span.tokens;
  while (rest.size() > input_.span_max_tokens) {
    const int64_t cut = BestCut(rest);
    if (!Merge(Part(span, {rest.begin, cut}))) return false;
    rest.begin = cut;
  }
  return Merge(Part(span, rest));
}

// Sentences have none within them.
bool SpanSizer::FindSentences(const PreparedSpan& span) {
  sentences_.clear();
  if (input_.span_policy == SpanPolicy::kSentences) return true;
  const std::string_view text(input_.text);
  const auto note = [&](const TextSegment& sentence) {
    sentences_.push_back(span.bytes.begin + sentence.bytes.begin);
    return true;
  };
  status_ = ForEachSentence(text.substr(span.bytes.begin, span.bytes.end - span.bytes.begin), note,
                            stop_);
  return status_.ok();
}

// Parts of equal length would end at a target. The cut is made within half a part of it, where the
// best place is, and of equally good ones at the nearest to the target.
int64_t SpanSizer::BestCut(TokenRange tokens) const {
  const int64_t most = input_.span_max_tokens;
  const int64_t parts = (tokens.size() + most - 1) / most;
  const int64_t part = (tokens.size() + parts - 1) / parts;
  const int64_t target = tokens.begin + part;
  const int64_t first = std::max(tokens.begin + 1, target - part / 2);
  const int64_t last = std::min({tokens.begin + most, target + part / 2, tokens.end - 1});
  int64_t best = target;
  std::pair<Cut, int64_t> best_merit{Cut::kCharacter, -tokens.size()};
  for (int64_t token = first; token <= last; ++token) {
    const std::pair<Cut, int64_t> merit{CutBefore(token), -std::abs(token - target)};
    if (merit <= best_merit) continue;
    best_merit = merit;
    best = token;
  }
  return best;
}

SpanSizer::Cut SpanSizer::CutBefore(int64_t token) const {
  const std::string_view text(input_.text);
  const auto& bytes = layout_.tokens.bytes;
  // A character that no token stands for alone is several tokens with the same bytes.
  if (bytes[token].begin < bytes[token - 1].end) return Cut::kCharacter;
  auto next = static_cast<size_t>(bytes[token].begin);
  auto behind = next;
  for (int i = 0; i < kMostBlanks && next < text.size(); ++i) {
    const Utf8Cursor at(text, next);
    if (!IsBlank(at.Peek())) break;
    Utf8Cursor after = at;
    after.Next();
    next = static_cast<size_t>(after.byte());
  }
  bool blank = next > behind;
  for (int i = 0; i < kMostBlanks && behind > 0; ++i) {
    const size_t last = PreviousCodePoint(text, behind);
    if (!IsBlank(Utf8Cursor(text, last).Peek())) break;
    behind = last;
    blank = true;
  }
  if (std::binary_search(sentences_.begin(), sentences_.end(), static_cast<int64_t>(next)))
    return Cut::kSentence;
  const char32_t mark =
      behind > 0 ? Utf8Cursor(text, PreviousCodePoint(text, behind)).Peek() : U' ';
  if (EndsClause(mark) && (blank || IsWide(mark))) return Cut::kClause;
  return blank ? Cut::kWord : Cut::kToken;
}

PreparedSpan SpanSizer::Part(const PreparedSpan& span, TokenRange tokens) const {
  const Tokenization& all = layout_.tokens;
  PreparedSpan part{span.bytes, span.characters, tokens, {}};
  if (tokens.begin > span.tokens.begin) {
    part.bytes.begin = all.bytes[tokens.begin].begin;
    part.characters.begin = all.characters[tokens.begin].begin;
  }
  if (tokens.end < span.tokens.end) {
    part.bytes.end = all.bytes[tokens.end - 1].end;
    part.characters.end = all.characters[tokens.end - 1].end;
  }
  // Some tokenizers count the white space around a word among its bytes.
  auto begin = static_cast<size_t>(part.bytes.begin), end = static_cast<size_t>(part.bytes.end);
  TrimBlanks(input_.text, &begin, &end);
  if (begin == end) return part;
  const std::string_view text(input_.text);
  part.characters.begin += CountCharacters(text.substr(part.bytes.begin, begin - part.bytes.begin));
  part.characters.end -= CountCharacters(text.substr(end, part.bytes.end - end));
  part.bytes = {static_cast<int64_t>(begin), static_cast<int64_t>(end)};
  return part;
}

bool SpanSizer::FitTogether(const PreparedSpan& first, const PreparedSpan& second) const {
  return input_.span_max_tokens == 0 ||
         second.tokens.end - first.tokens.begin <= input_.span_max_tokens;
}

bool SpanSizer::Merge(const PreparedSpan& span) {
  if (held_.has_value() && IsShort(*held_) && FitTogether(*held_, span)) {
    held_ = Joined(*held_, span);
    return true;
  }
  if (held_.has_value() && !CloseHeld()) return false;
  held_ = span;
  return true;
}

// The held span takes in no more.
bool SpanSizer::CloseHeld() {
  const PreparedSpan held = *std::exchange(held_, std::nullopt);
  if (ready_.has_value() && IsShort(held) && FitTogether(*ready_, held)) {
    ready_ = Joined(*ready_, held);
    return true;
  }
  const std::optional<PreparedSpan> done = std::exchange(ready_, held);
  return !done.has_value() || take_(*done);
}

}  // namespace longspan
