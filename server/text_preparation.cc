#include "server/text_preparation.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/batching/token_vector_buffer.h"
#include "server/error_details.h"
#include "server/text_segments.h"

namespace longspan {
namespace {

// The tokens of one input and where its body lies: [0, body.begin) leading special tokens and prompt, [body.end, n) trailing
// special tokens. Offsets are of the text without the prompt.
struct Layout {
  Tokenization tokens;
  TokenRange body;
  int64_t prompt_tokens = 0;  // leading tokens that take no part in pooling
  int64_t size() const { return static_cast<int64_t>(tokens.ids.size()); }
  int64_t frame() const { return size() - body.size(); }
};

bool IsText(const EncodeInput& input) { return !input.text.empty(); }

// Ids of the caller: special tokens are recognised where the tokenizer's own stand at both ends.
Layout LayoutOfIds(const std::vector<int32_t>& ids, const PreparationContext& context) {
  Layout layout;
  layout.tokens.ids = ids;
  layout.body = {0, static_cast<int64_t>(ids.size())};
  const std::vector<int32_t>&prefix = context.prefix_ids, &suffix = context.suffix_ids;
  if (ids.size() > prefix.size() + suffix.size() && std::equal(prefix.begin(), prefix.end(), ids.begin()) &&
      std::equal(suffix.rbegin(), suffix.rend(), ids.rbegin())) {
    layout.body.begin += static_cast<int64_t>(prefix.size());
    layout.body.end -= static_cast<int64_t>(suffix.size());
  }
  return layout;
}

Layout LayoutOfText(Tokenization tokens, int64_t prompt_bytes, int64_t prompt_characters) {
  Layout layout;
  const auto n = static_cast<int64_t>(tokens.ids.size());
  TokenRange body{0, n};
  while (body.begin < n && (tokens.special[body.begin] || tokens.bytes[body.begin].begin < prompt_bytes)) ++body.begin;
  while (body.end > body.begin && tokens.special[body.end - 1]) --body.end;
  for (int64_t i = body.begin; i < body.end; ++i) {
    tokens.bytes[i].begin -= prompt_bytes;
    tokens.bytes[i].end -= prompt_bytes;
    tokens.characters[i].begin -= prompt_characters;
    tokens.characters[i].end -= prompt_characters;
  }
  layout.tokens = std::move(tokens);
  layout.body = body;
  return layout;
}

// The rule of sentence-transformers: as many tokens as the prompt has alone, its leading special tokens counted and the trailing
// one not. By this count a blank at the prompt's end that a byte-level tokenizer joins with the text's first word ("query: " +
// "what" -> "query" ":" " what") takes that word out of the pooled vector too; a vector that is compared with theirs must do so.
absl::StatusOr<int64_t> CountPromptTokens(const std::string& prompt, const PreparationContext& context) {
  const absl::StatusOr<Tokenization> alone = context.tokenize(prompt);
  if (!alone.ok()) return alone.status();
  const auto n = static_cast<int64_t>(alone->ids.size());
  return n > 0 && alone->special.back() != 0 ? n - 1 : n;
}

absl::StatusOr<Layout> ReadTokens(const EncodeInput& input, const PreparationContext& context) {
  if (!IsText(input)) return LayoutOfIds(input.token_ids, context);
  if (!context.tokenize) {
    return AtField(absl::FailedPreconditionError("cannot be read: this model has no tokenizer; allowed: token_ids"),
                   input.field + ".text");
  }
  absl::StatusOr<Tokenization> tokens =
      input.prompt.empty() ? context.tokenize(input.text) : context.tokenize(input.prompt + input.text);
  if (!tokens.ok()) return AtField(tokens.status(), input.field + ".text");
  Layout layout = LayoutOfText(*std::move(tokens), static_cast<int64_t>(input.prompt.size()), CountCharacters(input.prompt));
  if (input.prompt.empty() || context.model->pool_prompt) return layout;
  const absl::StatusOr<int64_t> prompt_tokens = CountPromptTokens(input.prompt, context);
  if (!prompt_tokens.ok()) return AtField(prompt_tokens.status(), input.field + ".text");
  layout.prompt_tokens = std::min(*prompt_tokens, layout.size() - 1);  // one token must be left to pool
  return layout;
}

std::string ContentField(const EncodeInput& input) { return input.field + (IsText(input) ? ".text" : ".token_ids"); }

// Body ranges of the parts: one entry per part, each one or two ranges.
using BodyRanges = std::vector<std::vector<TokenRange>>;

absl::StatusOr<BodyRanges> WindowRanges(const EncodeInput& input, TokenRange body, int64_t room) {
  const int64_t overlap = input.window_overlap;
  if (2 * overlap >= room) {
    return InvalidField("options.window_overlap_tokens",
                        absl::StrCat("is ", overlap, "; allowed: below half the window of ", room, " tokens"));
  }
  BodyRanges parts;
  for (int64_t begin = body.begin;; begin += room - overlap) {
    parts.push_back({{begin, std::min(begin + room, body.end)}});
    if (begin + room >= body.end) return parts;
  }
}

absl::StatusOr<BodyRanges> Truncate(const EncodeInput& input, const Layout& layout, int64_t max_tokens) {
  const TokenRange body = layout.body;
  if (max_tokens == 0 || layout.size() <= max_tokens) return BodyRanges{{body}};
  const int64_t room = max_tokens - layout.frame();
  if (input.truncation == Truncation::kReject || room < 1) {
    return InvalidField(ContentField(input), absl::StrCat("has ", layout.size(), " tokens; this model takes at most ", max_tokens,
                                                          room < 1 ? " (prompt included)" : " (set truncation)"));
  }
  switch (input.truncation) {
    case Truncation::kReject:
    case Truncation::kHead:
      return BodyRanges{{{body.begin, body.begin + room}}};
    case Truncation::kTail:
      return BodyRanges{{{body.end - room, body.end}}};
    case Truncation::kHeadTail:
      return BodyRanges{{{body.begin, body.begin + (room + 1) / 2}, {body.end - room / 2, body.end}}};
    case Truncation::kWindows:
      return WindowRanges(input, body, room);
  }
  return absl::InternalError("unknown truncation");
}

// One part: what it keeps of the whole text, in order, and the way from a token of the text to its place in the part.
class Part {
 public:
  Part(const Layout& layout, const std::vector<TokenRange>& body) {
    kept_.push_back({0, layout.body.begin});
    kept_.insert(kept_.end(), body.begin(), body.end());
    kept_.push_back({layout.body.end, layout.size()});
  }

  int64_t size() const {
    int64_t total = 0;
    for (const TokenRange& range : kept_) total += range.size();
    return total;
  }
  // Tokens of this part that come from `range` of the text: a range here, since kept ranges keep their order; may be empty.
  TokenRange Map(TokenRange range) const {
    TokenRange mapped{-1, -1};
    int64_t at = 0;
    for (const TokenRange& kept : kept_) {
      const int64_t begin = std::max(kept.begin, range.begin), end = std::min(kept.end, range.end);
      if (begin < end) {
        if (mapped.begin < 0) mapped.begin = at + begin - kept.begin;
        mapped.end = at + end - kept.begin;
      }
      at += kept.size();
    }
    return mapped.begin < 0 ? TokenRange{} : mapped;
  }
  std::vector<int32_t> Ids(const std::vector<int32_t>& ids) const {
    std::vector<int32_t> out;
    out.reserve(size());
    for (const TokenRange& range : kept_) out.insert(out.end(), ids.begin() + range.begin, ids.begin() + range.end);
    return out;
  }
  TokenRange body() const { return {kept_[1].begin, kept_[kept_.size() - 2].end}; }

 private:
  std::vector<TokenRange> kept_;
};

// Tokens of the body that share at least one byte with `bytes` of the text.
TokenRange TokensOf(const Layout& layout, TextRange bytes) {
  const auto& offsets = layout.tokens.bytes;
  const auto first = offsets.begin() + layout.body.begin, last = offsets.begin() + layout.body.end;
  const auto begin = std::partition_point(first, last, [&](const TextRange& token) { return token.end <= bytes.begin; });
  const auto end = std::partition_point(begin, last, [&](const TextRange& token) { return token.begin < bytes.end; });
  return {begin - offsets.begin(), end - offsets.begin()};
}

absl::StatusOr<std::vector<int32_t>> GlobalPositions(const EncodeInput& input, const Layout& layout) {
  std::vector<int32_t> positions = input.global_positions;
  for (size_t i = 0; i < positions.size(); ++i) {
    if (positions[i] < 0 || positions[i] >= layout.size()) {
      return InvalidField(absl::StrCat(input.field, ".global_token_positions[", i, "]"),
                          absl::StrCat("is ", positions[i], "; allowed: below ", layout.size(), ", the text's token count"));
    }
  }
  const auto located = LocateCharacters(input.text, input.global_spans);
  if (!located.ok()) return AtField(located.status(), input.field + ".global_attention_spans");
  for (const TextSegment& segment : *located) {
    const TokenRange tokens = TokensOf(layout, WidenToWords(input.text, segment.bytes));
    for (int64_t t = tokens.begin; t < tokens.end; ++t) positions.push_back(static_cast<int32_t>(t));
  }
  std::sort(positions.begin(), positions.end());
  positions.erase(std::unique(positions.begin(), positions.end()), positions.end());
  return positions;
}

// The spans as asked for, in text and tokens of the whole input.
absl::StatusOr<std::vector<PreparedSpan>> GivenTokenSpans(const EncodeInput& input, const Layout& layout) {
  std::vector<PreparedSpan> spans;
  for (size_t i = 0; i < input.spans.size(); ++i) {
    const TextRange range = input.spans[i];
    if (range.begin < 0 || range.end <= range.begin || range.end > layout.size()) {
      return InvalidField(absl::StrCat(input.field, ".spans[", i, "]"),
                          absl::StrCat("is tokens ", range.begin, "..", range.end, "; allowed: begin < end <= ", layout.size(),
                                       ", the number of token_ids"));
    }
    spans.push_back({{}, {}, {range.begin, range.end}, {}});
  }
  return spans;
}

absl::StatusOr<std::vector<PreparedSpan>> GivenTextSpans(const EncodeInput& input, const Layout& layout) {
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

std::vector<PreparedSpan> SegmentSpans(const std::vector<TextSegment>& segments, const Layout& layout) {
  std::vector<PreparedSpan> spans;
  for (const TextSegment& segment : segments) {
    const TokenRange tokens = TokensOf(layout, segment.bytes);
    if (tokens.size() > 0) spans.push_back({segment.bytes, segment.characters, tokens, {}});
  }
  return spans;
}

std::vector<PreparedSpan> FixedSpans(const EncodeInput& input, const Layout& layout) {
  std::vector<PreparedSpan> spans;
  const Tokenization& tokens = layout.tokens;
  for (int64_t begin = layout.body.begin; begin < layout.body.end; begin += input.span_tokens - input.span_overlap) {
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

absl::StatusOr<std::vector<PreparedSpan>> WantedSpans(const EncodeInput& input, const Layout& layout) {
  switch (input.span_policy) {
    case SpanPolicy::kNone:
      return std::vector<PreparedSpan>{};
    case SpanPolicy::kGiven:
      return IsText(input) ? GivenTextSpans(input, layout) : GivenTokenSpans(input, layout);
    case SpanPolicy::kSentences:
      return SegmentSpans(SplitSentences(input.text), layout);
    case SpanPolicy::kParagraphs:
      return SegmentSpans(SplitParagraphs(input.text), layout);
    case SpanPolicy::kFixed:
      return FixedSpans(input, layout);
  }
  return absl::InternalError("unknown span policy");
}

// Builds the plan of one input step by step; every step sees the whole text's tokens.
class Planner {
 public:
  Planner(const EncodeInput& input, const PreparationContext& context, Layout layout)
      : input_(input), context_(context), layout_(std::move(layout)) {}

  absl::StatusOr<PreparedText> Run() {
    prepared_.tokens_total = layout_.size();
    auto spans = WantedSpans(input_, layout_);
    if (!spans.ok()) return spans.status();
    prepared_.spans = *std::move(spans);
    if (static_cast<int64_t>(prepared_.spans.size()) > context_.max_spans) {
      return InvalidField(input_.field + ".spans",
                          absl::StrCat("are ", prepared_.spans.size(), "; allowed: at most ", context_.max_spans));
    }
    prepared_.lsh = input_.lsh;
    const bool late_chunking = !prepared_.spans.empty() && !input_.independent_spans;
    if (input_.options.document_vector || input_.token_vectors != nullptr || late_chunking) {
      if (absl::Status status = AddDocument(); !status.ok()) return status;
    }
    const absl::Status status = input_.independent_spans ? AddIndependentSpans() : PlaceSpans();
    if (!status.ok()) return status;
    return std::move(prepared_);
  }

 private:
  absl::Status AddDocument() {
    const auto ranges = Truncate(input_, layout_, context_.max_tokens);
    if (!ranges.ok()) return ranges.status();
    const auto positions = GlobalPositions(input_, layout_);
    if (!positions.ok()) return positions.status();
    prepared_.normalize_joined = ranges->size() > 1 && input_.options.normalize.value_or(context_.model->normalize);
    for (const std::vector<TokenRange>& body : *ranges) {
      absl::Status status = AddDocumentPiece(Part(layout_, body), *positions, ranges->size() > 1);
      if (!status.ok()) return status;
    }
    NoteUse(*ranges);
    return absl::OkStatus();
  }

  absl::Status AddDocumentPiece(Part part, const std::vector<int32_t>& positions, bool one_of_many) {
    TextPiece piece;
    piece.token_ids = part.Ids(layout_.tokens.ids);
    for (const int32_t position : positions) {
      const TokenRange mapped = part.Map({position, position + 1});
      if (mapped.size() > 0) piece.global_positions.push_back(static_cast<int32_t>(mapped.begin));
    }
    piece.options = input_.options;
    if (one_of_many) piece.options.normalize = false;
    piece.options.pooling_begin = PoolingBegin(part);
    if (input_.token_vectors != nullptr) piece.options.token_sink = Sink();
    if (input_.options.document_vector) prepared_.document.push_back({NextPiece(), -1, static_cast<double>(part.body().size())});
    parts_.push_back(std::move(part));
    return AddPiece(std::move(piece), !positions.empty());
  }

  // Parts that do not begin with the text's first token: all of the prompt, and nothing of the body that its count may reach.
  int64_t PoolingBegin(const Part& part) const {
    const bool from_the_first = part.body().begin == layout_.body.begin;
    const int64_t begin = from_the_first ? layout_.prompt_tokens : std::min(layout_.prompt_tokens, layout_.body.begin);
    return std::min(begin, part.size() - 1);
  }

  std::function<void(int64_t, int64_t, const float*)> Sink() const {
    return [buffer = input_.token_vectors, width = context_.model->token_dimensions](
               int64_t first, int64_t count, const float* values) { buffer->Push(first, count, width, values); };
  }

  int32_t NextPiece() const { return static_cast<int32_t>(prepared_.pieces.size()); }

  absl::Status AddPiece(TextPiece piece, bool positions_given) {
    const auto policy = positions_given ? GlobalAttention::kPositions : input_.global_attention;
    const auto num_tokens = static_cast<int64_t>(piece.token_ids.size());
    piece.global_positions = ResolveGlobalPositions(*context_.model, policy, piece.global_positions, num_tokens);
    if (context_.validate) {
      const TokenBatch::Text text{.token_ids = piece.token_ids, .global_positions = piece.global_positions, .lsh = input_.lsh};
      const absl::Status status = context_.validate(text, piece.options);
      if (!status.ok()) return FieldOf(status).has_value() ? status : AtField(status, ContentField(input_));
    }
    prepared_.pieces.push_back(std::move(piece));
    return absl::OkStatus();
  }

  void NoteUse(const BodyRanges& ranges) {
    const bool windows = ranges.size() > 1;
    prepared_.tokens_used = windows ? layout_.size() : parts_.front().size();
    if (!IsText(input_)) return;
    if (prepared_.tokens_used == prepared_.tokens_total) {
      prepared_.used_text = {{0, static_cast<int64_t>(input_.text.size())}};
      return;
    }
    const auto& bytes = layout_.tokens.bytes;
    for (const TokenRange& kept : ranges.front()) {
      if (kept.size() > 0) prepared_.used_text.push_back({bytes[kept.begin].begin, bytes[kept.end - 1].end});
    }
  }

  // Late chunking: each span becomes ranges of the parts that hold it. Of a span that no part holds, a given one is an error and
  // one that a policy found is left out.
  absl::Status PlaceSpans() {
    std::vector<PreparedSpan> placed;
    for (size_t i = 0; i < prepared_.spans.size(); ++i) {
      PreparedSpan& span = prepared_.spans[i];
      PlaceSpan(&span);
      if (!span.parts.empty()) {
        placed.push_back(std::move(span));
      } else if (input_.span_policy == SpanPolicy::kGiven) {
        return InvalidField(absl::StrCat(input_.field, ".spans[", i, "]"),
                            absl::StrCat("is tokens ", span.tokens.begin, "..", span.tokens.end, " of ", prepared_.tokens_total,
                                         ", all cut off by truncation; allowed: spans in the part that is read"));
      }
    }
    prepared_.spans = std::move(placed);
    return absl::OkStatus();
  }

  void PlaceSpan(PreparedSpan* span) {
    for (size_t p = 0; p < parts_.size(); ++p) {  // a part that holds all of it
      const TokenRange mapped = parts_[p].Map(span->tokens);
      if (mapped.size() == span->tokens.size() || (mapped.size() > 0 && parts_.size() == 1)) return AddSpanPart(span, p, mapped);
    }
    for (size_t p = 0; p < parts_.size(); ++p) {  // windows: each takes the tokens up to where the next one begins
      const int64_t end = p + 1 < parts_.size() ? parts_[p + 1].body().begin : layout_.size();
      const int64_t begin = p == 0 ? 0 : parts_[p].body().begin;
      const TokenRange owned{std::max(begin, span->tokens.begin), std::min(end, span->tokens.end)};
      const TokenRange mapped = owned.size() > 0 ? parts_[p].Map(owned) : TokenRange{};
      if (mapped.size() > 0) AddSpanPart(span, p, mapped);
    }
  }

  void AddSpanPart(PreparedSpan* span, size_t part, TokenRange mapped) {
    std::vector<TokenRange>& spans = prepared_.pieces[part].options.spans;
    span->parts.push_back({static_cast<int32_t>(part), static_cast<int32_t>(spans.size()), static_cast<double>(mapped.size())});
    spans.push_back(mapped);
  }

  absl::Status AddIndependentSpans() {
    for (size_t i = 0; i < prepared_.spans.size(); ++i) {
      PreparedSpan& span = prepared_.spans[i];
      EncodeInput alone = AloneRequest(span);
      auto layout = ReadTokens(alone, context_);
      if (!layout.ok()) return layout.status();
      if (context_.max_tokens > 0 && layout->size() > context_.max_tokens) {
        return InvalidField(absl::StrCat(input_.field, ".spans[", i, "]"),
                            absl::StrCat("has ", layout->size(), " tokens; this model takes at most ", context_.max_tokens));
      }
      TextPiece piece;
      piece.token_ids = layout->tokens.ids;
      piece.options = input_.options;
      piece.options.document_vector = true;
      piece.options.pooling_begin = layout->prompt_tokens;
      span.parts.push_back({NextPiece(), -1, 1});
      if (absl::Status status = AddPiece(std::move(piece), false); !status.ok()) return status;
    }
    if (prepared_.tokens_used == 0) prepared_.tokens_used = prepared_.tokens_total;  // no document part: every span is read whole
    return absl::OkStatus();
  }

  EncodeInput AloneRequest(const PreparedSpan& span) const {
    EncodeInput alone;
    alone.field = input_.field;
    alone.prompt = input_.prompt;
    if (IsText(input_)) {
      alone.text = input_.text.substr(span.bytes.begin, span.bytes.end - span.bytes.begin);
    } else {
      alone.token_ids.assign(input_.token_ids.begin() + span.tokens.begin, input_.token_ids.begin() + span.tokens.end);
    }
    return alone;
  }

  const EncodeInput& input_;
  const PreparationContext& context_;
  const Layout layout_;
  std::vector<Part> parts_;  // of the document, parallel to the first entries of prepared_.pieces
  PreparedText prepared_;
};

}  // namespace

absl::StatusOr<PreparedText> PrepareText(const EncodeInput& input, const PreparationContext& context) {
  auto layout = ReadTokens(input, context);
  if (!layout.ok()) return layout.status();
  if (layout->size() == 0) return InvalidField(ContentField(input), "has 0 tokens; allowed: at least 1");
  return Planner(input, context, *std::move(layout)).Run();
}

}  // namespace longspan
