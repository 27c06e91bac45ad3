#include "server/text/text_preparation.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "core/multi_vector.h"
#include "server/text/kept_tokens.h"
#include "server/text/token_layout.h"
#include "server/text/token_places.h"
#include "server/text/truncation.h"
#include "server/text/wanted_spans.h"

namespace longspan {
namespace {

// Independent spans of a text are tokenised again, and a span may become more tokens alone than it
// touches in its text: a whole word may be one token, and a part of it several. So a span counts at
// least one token for as many bytes. About four bytes are one token of English.
constexpr int64_t kBytesOfAToken = 4;

// Turns the tokens of one input into its pieces, in two steps. First the ranges of all pieces are
// found, from which follow their shapes, and PreparationControl::admit is asked. Only then are ids
// copied and spans tokenised. The pieces of the document come first, those of independent spans
// behind them.
class Planner {
 public:
  Planner(const EncodeInput& input, const PreparationContext& context,
          const PreparationControl& control, TokenLayout layout,
          std::optional<int64_t> prompt_tokens)
      : input_(input),
        context_(context),
        control_(control),
        layout_(std::move(layout)),
        prompt_tokens_(prompt_tokens) {}

  absl::StatusOr<PreparedText> Run() {
    prepared_.tokens_total = layout_.size();
    auto spans = WantedSpans(input_, layout_, context_.max_spans, control_.stop);
    if (!spans.ok()) return spans.status();
    prepared_.spans = *std::move(spans);
    prepared_.lsh = input_.lsh;
    const bool late_chunking = !prepared_.spans.empty() && !input_.independent_spans;
    const bool pass = input_.options.document_vector || input_.options.token_sink ||
                      input_.piece_sink || late_chunking;
    // Lexical vectors alone need no pass, only what truncation leaves of the text.
    const bool document = pass || (input_.lexical.has_value() && !input_.independent_spans);
    for (const auto step : {&Planner::PlanDocument, &Planner::PlanSpans, &Planner::Admit,
                            &Planner::AddDocument, &Planner::AddIndependentSpans}) {
      const bool of_document = step == &Planner::PlanDocument || step == &Planner::AddDocument;
      if (of_document && !document) continue;
      if (absl::Status status = (this->*step)(); !status.ok()) return status;
      if (!pass) kept_.clear();
    }
    return std::move(prepared_);
  }

 private:
  // The longest text that is read, and what sets it: the request, where it asks for less.
  int64_t MaxTokens() const {
    const int64_t asked = input_.max_tokens > 0 ? input_.max_tokens : context_.max_tokens;
    return LongestText(*context_.model, input_.options.text_role, asked);
  }
  std::string MaxTokensOf() const {
    if (LongestText(*context_.model, input_.options.text_role, 0) == MaxTokens() && MaxTokens() > 0)
      return "a query of this model";
    return input_.max_tokens > 0 ? input_.max_tokens_of : context_.max_tokens_of;
  }

  absl::Status Stop() const { return control_.stop ? control_.stop() : absl::OkStatus(); }

  // What each piece of the document holds: the whole text, what truncation leaves of it, or one of
  // its windows.
  absl::Status PlanDocument() {
    auto ranges = Truncate(input_, layout_, MaxTokens(), MaxTokensOf());
    if (!ranges.ok()) return ranges.status();
    auto globals = GlobalRanges(input_, layout_, context_.max_global_tokens);
    if (!globals.ok()) return globals.status();
    globals_ = *std::move(globals);
    prepared_.normalize_joined =
        ranges->size() > 1 && input_.options.normalize.value_or(context_.model->normalize);
    kept_.reserve(ranges->size());
    for (const std::vector<TokenRange>& body : *ranges) kept_.emplace_back(layout_, body);
    piece_spans_.resize(kept_.size());
    if (input_.wants_token_places)
      prepared_.token_places = std::make_shared<const TokenPlaces>(layout_, *ranges, kept_);
    NoteUse(*ranges);
    return absl::OkStatus();
  }

  absl::Status PlanSpans() {
    return input_.independent_spans ? CheckIndependentSpans() : PlaceSpans();
  }

  absl::Status Admit() {
    if (!control_.admit) return absl::OkStatus();
    std::vector<TextShape> shapes;
    shapes.reserve(kept_.size() + (input_.independent_spans ? prepared_.spans.size() : 0));
    for (size_t piece = 0; piece < kept_.size(); ++piece) {
      const auto spans = static_cast<int64_t>(piece_spans_[piece].size());
      TextShape shape(
          ExpandedTokens(*context_.model, input_.options.text_role, kept_[piece].size()),
          NumGlobals(kept_[piece]), spans + (input_.options.document_vector ? 1 : 0));
      shape.hashes = input_.lsh.num_hashes;
      shapes.push_back(shape);
    }
    if (input_.independent_spans) {
      for (const PreparedSpan& span : prepared_.spans) {
        TextShape shape(std::max<int64_t>(1, TokensAlone(span)));
        shape.hashes = input_.lsh.num_hashes;
        shapes.push_back(shape);
      }
    }
    return control_.admit(shapes, prepared_.tokens_total);
  }

  // The global tokens of a piece of the document.
  int64_t NumGlobals(const KeptTokens& kept) const {
    if (globals_.empty()) {
      return static_cast<int64_t>(
          ResolveGlobalPositions(*context_.model, input_.global_attention, {}, kept.size()).size());
    }
    int64_t tokens = 0;
    for (const TokenRange& range : kept.MapAll(globals_)) tokens += range.size();
    return tokens;
  }

  absl::Status AddDocument() {
    for (size_t piece = 0; piece < kept_.size(); ++piece) {
      if (absl::Status status = Stop(); !status.ok()) return status;
      if (absl::Status status = AddDocumentPiece(piece); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status AddDocumentPiece(size_t index) {
    const KeptTokens& kept = kept_[index];
    TextPiece piece;
    piece.token_ids = kept.Ids(layout_.tokens.ids);
    if (!layout_.tokens.types.empty()) piece.token_types = kept.Ids(layout_.tokens.types);
    for (const TokenRange& range : kept.MapAll(globals_)) {
      for (int64_t token = range.begin; token < range.end; ++token)
        piece.global_positions.push_back(static_cast<int32_t>(token));
    }
    piece.options = input_.options;
    piece.options.spans = std::move(piece_spans_[index]);
    if (kept_.size() > 1) piece.options.normalize = false;
    piece.options.pooling_begin = PoolingBegin(kept);
    ExpandQuery(*context_.model, input_.options.text_role, &piece.token_ids, &piece.token_types,
                &piece.attention_mask);
    if (input_.piece_sink) {
      piece.options.token_sink = [sink = input_.piece_sink, number = NextPiece()](
                                     int64_t first, int64_t count, const float* values) {
        sink(number, first, count, values);
      };
    }
    if (input_.options.document_vector)
      prepared_.document.push_back({NextPiece(), -1, static_cast<double>(kept.body().size())});
    return AddPiece(std::move(piece), !globals_.empty());
  }

  // How many leading tokens of a piece stay out of pooling: what the prompt's count takes out
  // (token_layout.cc). That count may reach into the text's first word, which only the piece with
  // the text's first token holds; in all others it ends with the prefix.
  int64_t PoolingBegin(const KeptTokens& kept) const {
    const bool from_the_first = kept.body().begin == layout_.body.begin;
    const int64_t begin = from_the_first ? layout_.prompt_tokens
                                         : std::min(layout_.prompt_tokens, layout_.body.begin);
    return std::min(begin, kept.size() - 1);
  }

  int32_t NextPiece() const { return static_cast<int32_t>(prepared_.pieces.size()); }

  // Resolves the piece's global positions and has the encoder check it.
  absl::Status AddPiece(TextPiece piece, bool positions_given) {
    const auto policy = positions_given ? GlobalAttention::kPositions : input_.global_attention;
    const auto num_tokens = static_cast<int64_t>(piece.token_ids.size());
    piece.global_positions =
        ResolveGlobalPositions(*context_.model, policy, piece.global_positions, num_tokens);
    if (absl::Status status = CheckMemory(piece); !status.ok()) return status;
    if (context_.validate) {
      const TokenBatch::Text text{.token_ids = piece.token_ids,
                                  .global_positions = piece.global_positions,
                                  .attention_mask = piece.attention_mask,
                                  .lsh = input_.lsh,
                                  .token_types = piece.token_types};
      const absl::Status status = context_.validate(text, piece.options);
      if (!status.ok()) return AtField(status, ContentField(input_));
    }
    prepared_.pieces.push_back(std::move(piece));
    return absl::OkStatus();
  }

  // Whether a pass over the piece fits in memory where nothing else runs. Its length alone does, by
  // max_tokens; many global tokens or rounds of hashing take more.
  absl::Status CheckMemory(const TextPiece& piece) const {
    if (!context_.piece_bytes || context_.max_piece_bytes == 0) return absl::OkStatus();
    TextShape shape(static_cast<int64_t>(piece.token_ids.size()),
                    static_cast<int64_t>(piece.global_positions.size()), 1);
    shape.hashes = input_.lsh.num_hashes;
    const int64_t bytes = context_.piece_bytes(shape);
    if (bytes <= context_.max_piece_bytes) return absl::OkStatus();
    return WithReason(
        InvalidField(
            ContentField(input_),
            absl::StrCat("takes ", bytes, " bytes of memory with ", shape.tokens, " tokens, ",
                         shape.globals, " of them global",
                         shape.hashes > 0 ? absl::StrCat(", and ", shape.hashes, " hashes") : "",
                         "; this server's memory allows ", context_.max_piece_bytes)),
        kReasonMaxTokens);
  }

  // What the answer says of the text that was read: its tokens and its byte ranges.
  void NoteUse(const BodyRanges& ranges) {
    const bool windows = ranges.size() > 1;
    prepared_.tokens_used = windows ? layout_.size() : kept_.front().size();
    prepared_.gap = windows ? 0 : kept_.front().gap();
    if (!IsText(input_)) return;
    if (prepared_.tokens_used == prepared_.tokens_total) {
      prepared_.used_text = {{0, static_cast<int64_t>(input_.text.size())}};
      return;
    }
    const auto& bytes = layout_.tokens.bytes;
    for (const TokenRange& kept : ranges.front()) {
      if (kept.size() > 0)
        prepared_.used_text.push_back({bytes[kept.begin].begin, bytes[kept.end - 1].end});
    }
  }

  // Late chunking: each span becomes one VectorPart in each piece that holds some of it. A given
  // span that no piece holds is an error; one that a policy found is left out.
  absl::Status PlaceSpans() {
    std::vector<PreparedSpan> placed;
    placed.reserve(prepared_.spans.size());
    if (kept_.empty()) return absl::OkStatus();
    for (size_t i = 0; i < prepared_.spans.size(); ++i) {
      PreparedSpan& span = prepared_.spans[i];
      if (absl::Status status = PlaceSpan(&span); !status.ok()) return status;
      if (!span.parts.empty()) {
        placed.push_back(std::move(span));
      } else if (input_.span_policy == SpanPolicy::kGiven) {
        return InvalidField(
            absl::StrCat(input_.field, ".spans[", i, "]"),
            absl::StrCat("is tokens ", span.tokens.begin, "..", span.tokens.end, " of ",
                         prepared_.tokens_total,
                         ", all cut off by truncation; allowed: spans in the part that is read"));
      }
    }
    prepared_.spans = std::move(placed);
    return absl::OkStatus();
  }

  absl::Status PlaceSpan(PreparedSpan* span) {
    const size_t num_pieces = kept_.size();
    // A piece that holds all of the span, or the only piece with what is left of it.
    const size_t first = FirstPieceToTheEndOf(span->tokens);
    const TokenRange whole = kept_[first].Map(span->tokens);
    if (whole.size() == span->tokens.size() || (whole.size() > 0 && num_pieces == 1))
      return AddVectorPart(span, first, whole);
    // A span that no window holds whole: each window takes the tokens up to where the next one
    // begins, so that those in an overlap count once.
    const auto end_of = [&](size_t p) {
      return p + 1 < num_pieces ? kept_[p + 1].body().begin : layout_.size();
    };
    const auto begin_of = [&](size_t p) { return p == 0 ? 0 : kept_[p].body().begin; };
    for (size_t p = FirstPiece([&](size_t q) { return end_of(q) > span->tokens.begin; });
         p < num_pieces && begin_of(p) < span->tokens.end; ++p) {
      const TokenRange owned{std::max(begin_of(p), span->tokens.begin),
                             std::min(end_of(p), span->tokens.end)};
      const TokenRange mapped = owned.size() > 0 ? kept_[p].Map(owned) : TokenRange{};
      if (mapped.size() == 0) continue;
      if (absl::Status status = AddVectorPart(span, p, mapped); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // The first piece for which `holds` is true, where it is true for all behind it.
  template <typename Holds>
  size_t FirstPiece(const Holds& holds) const {
    size_t low = 0, high = kept_.size();
    while (low < high) {
      const size_t middle = low + (high - low) / 2;
      if (holds(middle)) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  // The first piece that reaches to the end of what the range has of the body: it holds all of it,
  // or none does. Prefix and suffix are in every piece.
  size_t FirstPieceToTheEndOf(TokenRange tokens) const {
    const int64_t end = std::min(tokens.end, layout_.body.end);
    if (end <= std::max(tokens.begin, layout_.body.begin)) return 0;
    const size_t piece = FirstPiece([&](size_t p) { return kept_[p].body().end >= end; });
    return std::min(piece, kept_.size() - 1);
  }

  // Has the piece pool `tokens` of its own, and makes the result a part of the span's vector.
  absl::Status AddVectorPart(PreparedSpan* span, size_t piece, TokenRange tokens) {
    if (++num_parts_ > kMaxSpanParts) {
      return WithReason(
          InvalidField(input_.field + ".spans",
                       absl::StrCat("lie in more than ", kMaxSpanParts,
                                    " windows together; allowed: at most ", kMaxSpanParts)),
          kReasonMaxSpansPerText);
    }
    std::vector<TokenRange>& spans = piece_spans_[piece];
    span->parts.push_back({static_cast<int32_t>(piece), static_cast<int32_t>(spans.size()),
                           static_cast<double>(tokens.size())});
    spans.push_back(tokens);
    return absl::OkStatus();
  }

  // The tokens of an independent span: exact for ids, an estimate for texts.
  int64_t TokensAlone(const PreparedSpan& span) const {
    if (!IsText(input_)) return span.tokens.size();
    const int64_t bytes = span.bytes.end - span.bytes.begin;
    return layout_.frame() + std::max(span.tokens.size(), bytes / kBytesOfAToken);
  }

  // Before any span is copied: what they cost together.
  absl::Status CheckIndependentSpans() const {
    const auto prompt_bytes = static_cast<int64_t>(input_.prompt.size());
    int64_t tokens = 0, bytes = 0;
    for (const PreparedSpan& span : prepared_.spans) {
      tokens += TokensAlone(span);
      bytes += prompt_bytes + span.bytes.end - span.bytes.begin;
    }
    const auto check = [&](int64_t got, int64_t limit, int64_t of_text, absl::string_view what) {
      const int64_t allowed = std::max(limit, of_text);
      if (limit == 0 || got <= allowed) return absl::OkStatus();
      return InvalidField(input_.field + ".spans",
                          absl::StrCat("have ", got, " ", what,
                                       " together, each with prompt and special tokens; allowed "
                                       "where they are independent: at most ",
                                       allowed));
    };
    absl::Status status = check(tokens, context_.max_independent_tokens, layout_.size(), "tokens");
    if (!status.ok()) return status;
    return check(bytes, context_.max_independent_bytes, static_cast<int64_t>(input_.text.size()),
                 "bytes");
  }

  // Each span becomes one piece: a text of its own, with prompt and special tokens.
  absl::Status AddIndependentSpans() {
    if (!input_.independent_spans) return absl::OkStatus();
    for (size_t i = 0; i < prepared_.spans.size(); ++i) {
      if (absl::Status status = Stop(); !status.ok()) return status;
      PreparedSpan& span = prepared_.spans[i];
      const EncodeInput alone = InputOfSpan(span);
      auto layout = ReadTokens(alone, context_, control_.stop, &prompt_tokens_);
      if (!layout.ok()) return layout.status();
      if (MaxTokens() > 0 && layout->size() > MaxTokens()) {
        return WithReason(InvalidField(absl::StrCat(input_.field, ".spans[", i, "]"),
                                       absl::StrCat("has ", layout->size(), " tokens; ",
                                                    MaxTokensOf(), " takes at most ", MaxTokens())),
                          kReasonMaxTokens);
      }
      TextPiece piece;
      piece.token_ids = std::move(layout->tokens.ids);
      piece.token_types = std::move(layout->tokens.types);
      piece.options = input_.options;
      piece.options.document_vector = true;
      piece.options.token_sink = nullptr;  // token vectors are those of the document
      piece.options.pooling_begin = layout->prompt_tokens;
      span.parts.push_back({NextPiece(), -1, 1});
      if (absl::Status status = AddPiece(std::move(piece), false); !status.ok()) return status;
    }
    // Without pieces of the document nothing was cut: every span is read whole.
    if (prepared_.tokens_used == 0) prepared_.tokens_used = prepared_.tokens_total;
    return absl::OkStatus();
  }

  EncodeInput InputOfSpan(const PreparedSpan& span) const {
    EncodeInput alone;
    alone.field = input_.field;
    alone.prompt = input_.prompt;
    if (IsText(input_)) {
      alone.text = input_.text.substr(span.bytes.begin, span.bytes.end - span.bytes.begin);
    } else {
      alone.token_ids.assign(input_.token_ids.begin() + span.tokens.begin,
                             input_.token_ids.begin() + span.tokens.end);
    }
    return alone;
  }

  const EncodeInput& input_;
  const PreparationContext& context_;
  const PreparationControl& control_;
  const TokenLayout layout_;
  std::optional<int64_t> prompt_tokens_;  // of the prompt alone, once they are counted
  // Of the document's pieces, the first of prepared_.pieces.
  std::vector<KeptTokens> kept_;
  std::vector<std::vector<TokenRange>> piece_spans_;  // what each pools beside the document
  std::vector<TokenRange> globals_;                   // of the whole text
  int64_t num_parts_ = 0;                             // of all spans
  PreparedText prepared_;
};

}  // namespace

absl::StatusOr<PreparedText> PrepareText(const EncodeInput& input,
                                         const PreparationContext& context,
                                         const PreparationControl& control) {
  std::optional<int64_t> prompt_tokens;
  auto layout = ReadTokens(input, context, control.stop, &prompt_tokens);
  if (!layout.ok()) return layout.status();
  if (layout->size() == 0)
    return InvalidField(ContentField(input), "has 0 tokens; allowed: at least 1");
  return Planner(input, context, control, *std::move(layout), prompt_tokens).Run();
}

}  // namespace longspan
