// Texts with ranges: the first byte tells how many ranges there are, the second one what is done
// with them, four bytes each are their begin and end in characters, and the rest is the text.
// Sentences, paragraphs, characters and words are found as text_segments.h says, and PrepareText
// gives pieces whose spans, global tokens and vector parts are valid ranges of what they stand in.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "server/text/text_preparation.h"
#include "server/text/text_segments.h"
#include "word_tokenizer.h"

namespace longspan {
namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

std::string_view MessageOf(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

// The bytes as UTF-8. ASCII stays; the other bytes become characters that the rules tell apart.
std::string Utf8(std::string_view bytes) {
  static constexpr const char* kCharacters[] = {
      "\xC3\xA9",     "\xCC\x81",         "\xE6\xBC\xA2",     "\xE3\x80\x82",
      "\xEF\xBC\x81", "\xC2\xA0",         "\xE2\x80\xA8",     "\xE2\x80\x9D",
      "\xE2\x80\x8B", "\xF0\x9F\x98\x80", "\xF0\x90\x8D\x88", "\xEA\xB0\x80",
      "\xD7\x90",     "\xE0\xB8\x81",     "\xEF\xBB\xBF",     "\xF4\x8F\xBF\xBF"};
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    text += byte < 0x80 ? std::string(1, c) : kCharacters[byte % std::size(kCharacters)];
  }
  return text;
}

bool IsBorder(std::string_view text, int64_t at) {
  return at == static_cast<int64_t>(text.size()) || (static_cast<uint8_t>(text[at]) & 0xC0) != 0x80;
}

bool IsInside(std::string_view text, TextRange bytes) {
  return 0 <= bytes.begin && bytes.begin <= bytes.end &&
         bytes.end <= static_cast<int64_t>(text.size()) && IsBorder(text, bytes.begin) &&
         IsBorder(text, bytes.end);
}

void CheckSegments(std::string_view text, const std::vector<TextSegment>& segments) {
  int64_t end = 0, characters = 0;
  for (const TextSegment& segment : segments) {
    Require(IsInside(text, segment.bytes) && segment.bytes.begin >= end);
    Require(segment.bytes.end > segment.bytes.begin);
    characters += CountCharacters(text.substr(end, segment.bytes.begin - end));
    Require(segment.characters.begin == characters);
    characters +=
        CountCharacters(text.substr(segment.bytes.begin, segment.bytes.end - segment.bytes.begin));
    Require(segment.characters.end == characters);
    end = segment.bytes.end;
  }
}

std::vector<TextSegment> Collect(std::string_view text,
                                 absl::Status (*for_each)(std::string_view, const VisitSegment&,
                                                          const StopCheck&)) {
  std::vector<TextSegment> segments;
  const auto take = [&](const TextSegment& segment) {
    segments.push_back(segment);
    return true;
  };
  const absl::Status status = for_each(text, take, {});
  Require(status.ok());
  return segments;
}

void CheckRanges(std::string_view text, const std::vector<TextRange>& ranges) {
  const auto located = LocateCharacters(text, ranges);
  const int64_t characters = CountCharacters(text);
  bool valid = true;
  for (const TextRange& range : ranges)
    valid = valid && range.begin >= 0 && range.begin < range.end && range.end <= characters;
  Require(located.ok() == valid);
  if (!located.ok()) return Require(MessageOf(located.status()).starts_with("["));
  Require(located->size() == ranges.size());
  std::vector<TextRange> bytes;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const TextSegment& segment = (*located)[i];
    Require(segment.characters == ranges[i] && IsInside(text, segment.bytes));
    Require(CountCharacters(text.substr(0, segment.bytes.begin)) == ranges[i].begin);
    Require(CountCharacters(text.substr(0, segment.bytes.end)) == ranges[i].end);
    bytes.push_back(segment.bytes);
  }
  const std::vector<TextRange> words = WidenToWords(text, bytes);
  int64_t last = -1;
  for (const TextRange& word : words) {
    Require(IsInside(text, word) && word.begin > last && word.end > word.begin);
    last = word.end;
  }
  for (const TextRange& range : bytes) {
    Require(std::any_of(words.begin(), words.end(), [&](const TextRange& word) {
      return word.begin <= range.begin && range.end <= word.end;
    }));
  }
  Require(WidenToWords(text, words) == words);
}

void CheckPrepared(const EncodeInput& input, const PreparedText& prepared) {
  for (const TextPiece& piece : prepared.pieces) {
    const auto n = static_cast<int64_t>(piece.token_ids.size());
    Require(n > 0 && piece.options.pooling_begin < n);
    int32_t last = -1;
    for (const int32_t position : piece.global_positions) {
      Require(position > last && position < n);
      last = position;
    }
    for (const TokenRange& span : piece.options.spans)
      Require(span.begin >= 0 && span.begin < span.end && span.end <= n);
  }
  const auto check_part = [&](const VectorPart& part) {
    Require(part.piece >= 0 && part.piece < static_cast<int32_t>(prepared.pieces.size()));
    const auto& spans = prepared.pieces[part.piece].options.spans;
    Require(part.span >= -1 && part.span < static_cast<int32_t>(spans.size()) && part.weight >= 0);
  };
  for (const VectorPart& part : prepared.document) check_part(part);
  for (const PreparedSpan& span : prepared.spans) {
    Require(input.span_max_tokens == 0 || span.tokens.size() <= input.span_max_tokens);
    Require(!span.parts.empty() && IsInside(input.text, span.bytes));
    Require(span.tokens.begin >= 0 && span.tokens.end <= prepared.tokens_total);
    for (const VectorPart& part : span.parts) check_part(part);
  }
  // A text of blanks without spans and without a document vector asks nothing of the model.
  Require((prepared.tokens_used > 0 || prepared.pieces.empty()) &&
          prepared.tokens_used <= prepared.tokens_total);
  for (const TextRange& used : prepared.used_text) Require(IsInside(input.text, used));
}

void Check(const uint8_t* bytes, size_t size) {
  if (size < 4) return;
  const size_t num_ranges = std::min<size_t>(bytes[0] % 64, (size - 4) / 4);
  const uint8_t how = bytes[1], more = bytes[2];
  std::vector<TextRange> ranges;
  for (size_t i = 0; i < num_ranges; ++i) {
    const uint8_t* at = bytes + 4 + 4 * i;
    ranges.push_back({at[0] << 8 | at[1], at[2] << 8 | at[3]});
  }
  const size_t begin = 4 + 4 * num_ranges;
  EncodeInput input;
  input.field = "inputs[0]";
  input.text = Utf8({reinterpret_cast<const char*>(bytes) + begin, size - begin});
  if (input.text.empty()) return;
  CheckSegments(input.text, Collect(input.text, &ForEachSentence));
  CheckSegments(input.text, Collect(input.text, &ForEachParagraph));
  CheckRanges(input.text, ranges);

  ModelInfo model;
  model.supports_global_attention = true;
  model.token_dimensions = 4;
  if ((how & 1) != 0) input.prompt = "query: ";
  model.pool_prompt = (how & 2) != 0;
  input.truncation = static_cast<Truncation>((how >> 2) % 5);
  input.window_overlap = more % 4;
  input.span_policy = static_cast<SpanPolicy>((more >> 2) % 5);
  input.independent_spans = (how & 128) != 0;
  input.span_tokens = 1 + more % 7;
  input.span_overlap = more % input.span_tokens;
  if (input.span_policy == SpanPolicy::kSentences || input.span_policy == SpanPolicy::kParagraphs) {
    input.span_max_tokens = more % 8;
    input.span_min_tokens = std::min<int64_t>(bytes[3] % 5, input.span_max_tokens);
  }
  input.options.document_vector = (more & 128) == 0 || input.span_policy == SpanPolicy::kNone;
  const size_t half = ranges.size() / 2;
  if (input.span_policy == SpanPolicy::kGiven) {
    if (half == 0) return;
    input.spans.assign(ranges.begin(), ranges.begin() + half);
  }
  input.global_spans.assign(ranges.begin() + half, ranges.end());
  WordTokenizer words;
  const PreparationContext context = {
      .model = &model,
      .tokenize = [&](std::string_view text, const StopCheck&) { return words.Encode(text); },
      .prefix_ids = {WordTokenizer::kCls},
      .suffix_ids = {WordTokenizer::kSep},
      .max_tokens = bytes[3] % 32 == 0 ? 0 : 8 + bytes[3] % 32};
  const auto prepared = PrepareText(input, context);
  if (prepared.ok()) return CheckPrepared(input, *prepared);
  // The error names the input, or the option that does not fit the model.
  const std::string_view message = MessageOf(prepared.status());
  Require(message.starts_with("inputs[0]") || message.starts_with("options."));
}

}  // namespace
}  // namespace longspan

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  longspan::Check(bytes, size);
  return 0;
}
