#include "server/text/text_preparation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/text/kept_tokens.h"
#include "server/text/token_layout.h"
#include "server/text/truncation.h"
#include "server/text/wanted_spans.h"

namespace longspan {
namespace {

// Turns the tokens of one input into its pieces, step by step. The pieces of the document come
// first, those of independent spans behind them.
class Planner {
 public:
  Planner(const EncodeInput& input, const PreparationContext& context, TokenLayout layout)
      : input_(input), context_(context), layout_(std::move(layout)) {}

  absl::StatusOr<PreparedText> Run() {
    prepared_.tokens_total = layout_.size();
    auto spans = WantedSpans(input_, layout_);
    if (!spans.ok()) return spans.status();
    prepared_.spans = *std::move(spans);
    if (static_cast<int64_t>(prepared_.spans.size()) > context_.max_spans) {
      return WithReason(InvalidField(input_.field + ".spans",
                                     absl::StrCat("are ", prepared_.spans.size(),
                                                  "; allowed: at most ", context_.max_spans)),
                        kReasonMaxSpansPerText);
    }
    prepared_.lsh = input_.lsh;
    const bool late_chunking = !prepared_.spans.empty() && !input_.independent_spans;
    if (input_.options.document_vector || input_.options.token_sink || late_chunking) {
      if (absl::Status status = AddDocument(); !status.ok()) return status;
    }
    const absl::Status status = input_.independent_spans ? AddIndependentSpans() : PlaceSpans();
    if (!status.ok()) return status;
    return std::move(prepared_);
  }

 private:
  // One piece for the whole text, for what truncation leaves of it, or for each of its windows.
  absl::Status AddDocument() {
    const auto ranges = Truncate(input_, layout_, context_.max_tokens, context_.max_tokens_of);
    if (!ranges.ok()) return ranges.status();
    const auto positions = GlobalPositions(input_, layout_);
    if (!positions.ok()) return positions.status();
    prepared_.normalize_joined =
        ranges->size() > 1 && input_.options.normalize.value_or(context_.model->normalize);
    for (const std::vector<TokenRange>& body : *ranges) {
      absl::Status status =
          AddDocumentPiece(KeptTokens(layout_, body), *positions, ranges->size() > 1);
      if (!status.ok()) return status;
    }
    NoteUse(*ranges);
    return absl::OkStatus();
  }

  absl::Status AddDocumentPiece(KeptTokens kept, const std::vector<int32_t>& positions,
                                bool one_of_many) {
    TextPiece piece;
    piece.token_ids = kept.Ids(layout_.tokens.ids);
    if (!layout_.tokens.types.empty()) piece.token_types = kept.Ids(layout_.tokens.types);
    for (const int32_t position : positions) {
      const TokenRange mapped = kept.Map({position, position + 1});
      if (mapped.size() > 0) piece.global_positions.push_back(static_cast<int32_t>(mapped.begin));
    }
    piece.options = input_.options;
    if (one_of_many) piece.options.normalize = false;
    piece.options.pooling_begin = PoolingBegin(kept);
    if (input_.options.document_vector)
      prepared_.document.push_back({NextPiece(), -1, static_cast<double>(kept.body().size())});
    kept_.push_back(std::move(kept));
    return AddPiece(std::move(piece), !positions.empty());
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
    for (size_t i = 0; i < prepared_.spans.size(); ++i) {
      PreparedSpan& span = prepared_.spans[i];
      PlaceSpan(&span);
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

  void PlaceSpan(PreparedSpan* span) {
    const size_t num_pieces = kept_.size();
    // A piece that holds all of the span, or the only piece with what is left of it.
    for (size_t p = 0; p < num_pieces; ++p) {
      const TokenRange mapped = kept_[p].Map(span->tokens);
      if (mapped.size() == span->tokens.size() || (mapped.size() > 0 && num_pieces == 1))
        return AddVectorPart(span, p, mapped);
    }
    // A span that no window holds whole: each window takes the tokens up to where the next one
    // begins, so that those in an overlap count once.
    for (size_t p = 0; p < num_pieces; ++p) {
      const int64_t begin = p == 0 ? 0 : kept_[p].body().begin;
      const int64_t end = p + 1 < num_pieces ? kept_[p + 1].body().begin : layout_.size();
      const TokenRange owned{std::max(begin, span->tokens.begin), std::min(end, span->tokens.end)};
      const TokenRange mapped = owned.size() > 0 ? kept_[p].Map(owned) : TokenRange{};
      if (mapped.size() > 0) AddVectorPart(span, p, mapped);
    }
  }

  // Has the piece pool `tokens` of its own, and makes the result a part of the span's vector.
  void AddVectorPart(PreparedSpan* span, size_t piece, TokenRange tokens) {
    std::vector<TokenRange>& spans = prepared_.pieces[piece].options.spans;
    span->parts.push_back({static_cast<int32_t>(piece), static_cast<int32_t>(spans.size()),
                           static_cast<double>(tokens.size())});
    spans.push_back(tokens);
  }

  // Each span is tokenised again as a text of its own, with prompt and special tokens, and becomes
  // one piece.
  absl::Status AddIndependentSpans() {
    for (size_t i = 0; i < prepared_.spans.size(); ++i) {
      PreparedSpan& span = prepared_.spans[i];
      const EncodeInput alone = InputOfSpan(span);
      auto layout = ReadTokens(alone, context_);
      if (!layout.ok()) return layout.status();
      if (context_.max_tokens > 0 && layout->size() > context_.max_tokens) {
        return WithReason(
            InvalidField(absl::StrCat(input_.field, ".spans[", i, "]"),
                         absl::StrCat("has ", layout->size(), " tokens; ", context_.max_tokens_of,
                                      " takes at most ", context_.max_tokens)),
            kReasonMaxTokens);
      }
      TextPiece piece;
      piece.token_ids = layout->tokens.ids;
      piece.token_types = layout->tokens.types;
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
  const TokenLayout layout_;
  std::vector<KeptTokens> kept_;  // of the document's pieces, the first of prepared_.pieces
  PreparedText prepared_;
};

}  // namespace

absl::StatusOr<PreparedText> PrepareText(const EncodeInput& input,
                                         const PreparationContext& context) {
  auto layout = ReadTokens(input, context);
  if (!layout.ok()) return layout.status();
  if (layout->size() == 0)
    return InvalidField(ContentField(input), "has 0 tokens; allowed: at least 1");
  return Planner(input, context, *std::move(layout)).Run();
}

}  // namespace longspan
