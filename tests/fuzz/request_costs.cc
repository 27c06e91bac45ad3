// Fuzzing for cost: no request may cost more than admission said it would.
//
//   request_costs FIXTURES CASES [SEED]
//
// Makes CASES requests at random, most of them hostile: thousands of spans that overlap, nest or
// lie in one word, windows that overlap, fixed spans of overlap n - 1, sentences of nothing but
// stops, global spans over everything, independent spans of the whole text, duplicates, empty and
// enormous ranges. Each goes through the stages of the server: DecodeInput, ClaimFor, PrepareText,
// pooling, and, where it is small, a pass of the fixture's model. What is counted is work, never
// time: bytes that are allocated, bytes that are tokenised, tokens of the pieces, values that are
// pooled, and seconds of the cost model. Each is compared with what admission counted at that
// moment. The first case beyond the stated factor ends the run with 1 and prints the request. The
// seed is fixed, so the cases are the same on every machine; a longer run takes another seed and
// more cases.
//
// The factors are bounds of the data structures, not of luck:
//   kHeldPerByte     3   the decoded input over the bytes that ClaimFor counts: vectors are copied
//                        and a text that was moved out may keep its buffer.
//   kPlanPerByte     512 bytes that planning may take for each such byte, before admission has seen
//                        the shapes. One byte can be one token (37 bytes of ids, offsets and marks,
//                        twice while arrays grow) and one span of a policy (72 bytes, its parts,
//                        ranges and shape: 250 in all).
//   kPiecePerToken   96  bytes for each token that admission let in: ids, types, positions and the
//                        offsets of a span's own tokenisation.
//   kPiecePerPiece 1536  bytes for each piece: its options, vectors and parts.
//   kTokensPerToken  4   an independent span counts a token for four bytes, and one byte can be
//                        one.
//   kSecondsPrice    6   the same in predicted seconds; attention that is dense up to its window
//                        grows a little faster than the tokens.
//   kPoolPerRow     16   values that are pooled over (rows + vectors) x dimensions: a range costs a
//                        few merges.
#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/cost_model.h"
#include "core/encoder.h"
#include "core/pooling.h"
#include "core/tokenizer/tokenizer.h"
#include "server/batching/encode_task.h"
#include "server/text/sentences.h"
#include "server/text/text_preparation.h"
#include "server/wire/input_decoder.h"

namespace {

// Bytes of operator new that are held, and the most that were since Watch began. One thread makes
// the requests; those of the compute team may allocate beside it.
std::atomic<int64_t> g_held = 0;
std::atomic<int64_t> g_peak = 0;

void Count(void* block, int sign) {
  const auto bytes = static_cast<int64_t>(malloc_usable_size(block));
  const int64_t held = g_held += sign * bytes;
  int64_t peak = g_peak;
  while (held > peak && !g_peak.compare_exchange_weak(peak, held)) {
  }
}

void* Allocate(size_t bytes, size_t alignment) {
  void* block =
      alignment <= alignof(std::max_align_t)
          ? std::malloc(std::max<size_t>(bytes, 1))
          : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (block == nullptr) throw std::bad_alloc();
  Count(block, +1);
  return block;
}

void Free(void* block) {
  if (block == nullptr) return;
  Count(block, -1);
  std::free(block);
}

}  // namespace

void* operator new(size_t bytes) { return Allocate(bytes, 0); }
void* operator new[](size_t bytes) { return Allocate(bytes, 0); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return Allocate(bytes, static_cast<size_t>(alignment));
}
void* operator new[](size_t bytes, std::align_val_t alignment) {
  return Allocate(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* block) noexcept { Free(block); }
void operator delete[](void* block) noexcept { Free(block); }
void operator delete(void* block, size_t) noexcept { Free(block); }
void operator delete[](void* block, size_t) noexcept { Free(block); }
void operator delete(void* block, std::align_val_t) noexcept { Free(block); }
void operator delete[](void* block, std::align_val_t) noexcept { Free(block); }
void operator delete(void* block, size_t, std::align_val_t) noexcept { Free(block); }
void operator delete[](void* block, size_t, std::align_val_t) noexcept { Free(block); }

namespace longspan {
namespace {

constexpr int64_t kHeldPerByte = 3;
constexpr int64_t kPlanPerByte = 512;
constexpr int64_t kPiecePerToken = 96;
constexpr int64_t kPiecePerPiece = 1536;
constexpr int64_t kTokensPerToken = 4;
constexpr double kSecondsPrice = 6;
constexpr int64_t kPoolPerRow = 16;
constexpr int64_t kSlack = 64 << 10;  // bytes that any request may take, however small

// Limits like those of a server, small enough that thousands of cases take seconds.
constexpr int64_t kMaxTextBytes = 16 << 10;
constexpr int64_t kMaxSpans = 4096;
constexpr int64_t kMaxGlobalSpans = 2048;
constexpr int64_t kMaxGlobalTokens = 512;
constexpr int64_t kMaxIndependentTokens = 64 << 10;

// The most that was held since the construction, above what was held then.
class Watch {
 public:
  Watch() : begin_(g_held) { g_peak = begin_; }
  int64_t peak() const { return g_peak - begin_; }
  int64_t held() const { return g_held - begin_; }

 private:
  const int64_t begin_;
};

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  int64_t Below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }
  bool OneIn(int64_t n) { return Below(n) == 0; }
  // Small numbers often, large ones sometimes.
  int64_t Upto(int64_t most) {
    return std::min(most, static_cast<int64_t>(std::exp2(Below(1 + Log2(most)))) + Below(4));
  }

  v1::Input Input() {
    v1::Input input;
    int64_t units = 0;  // characters or tokens, which the ranges count in
    if (OneIn(4)) {
      units = 1 + Upto(3000);
      for (int64_t i = 0; i < units; ++i) input.mutable_token_ids()->add_ids(5 + Below(70));
    } else {
      input.set_text(Text());
      units = static_cast<int64_t>(input.text().size());
    }
    if (OneIn(2)) AddRanges(units, kMaxSpans, input.mutable_spans());
    if (OneIn(3) && input.has_text())
      AddRanges(units, kMaxGlobalSpans, input.mutable_global_attention_spans());
    if (OneIn(4)) {
      const int64_t count = Upto(kMaxGlobalSpans);
      for (int64_t i = 0; i < count; ++i)
        input.add_global_token_positions(static_cast<uint32_t>(Below(1 + Upto(units))));
    }
    return input;
  }

  v1::EncodeOptions Options(const v1::Input& input) {
    v1::EncodeOptions options;
    if (OneIn(2)) options.set_truncation(static_cast<v1::Truncation>(Below(6)));
    if (options.truncation() == v1::TRUNCATION_WINDOWS)
      options.set_window_overlap_tokens(static_cast<uint32_t>(Below(50)));
    if (input.spans_size() == 0 && OneIn(2)) {
      options.set_span_policy(static_cast<v1::SpanPolicy>(Below(6)));
      options.set_span_tokens(static_cast<uint32_t>(1 + Upto(500)));
      options.set_span_overlap_tokens(static_cast<uint32_t>(
          OneIn(2) ? options.span_tokens() - 1 : Below(options.span_tokens())));
      const bool found = options.span_policy() == v1::SPAN_POLICY_SENTENCES ||
                         options.span_policy() == v1::SPAN_POLICY_PARAGRAPHS;
      if (found && OneIn(2)) options.set_span_max_tokens(static_cast<uint32_t>(1 + Upto(100)));
    }
    if (OneIn(3)) options.set_span_context(v1::SPAN_CONTEXT_INDEPENDENT);
    if (OneIn(5)) options.set_include_document_vector(false);
    if (OneIn(6)) options.set_prompt_name("query");
    if (OneIn(5)) options.set_pooling(static_cast<v1::Pooling>(Below(8)));
    return options;
  }

 private:
  static int64_t Log2(int64_t n) {
    return static_cast<int64_t>(std::log2(std::max<int64_t>(1, n)));
  }

  std::string Text() {
    static constexpr const char* kParts[] = {"the ", "agreement ", "x", "! ",  "a. B ", "\n\n",
                                             " ",    "四五。",     "é", "1,2", "\t",    "don't "};
    std::string text;
    const int64_t bytes = 1 + Upto(kMaxTextBytes - 64);
    // Texts of one kind of part are the hard ones.
    const int64_t only = Below(24);
    while (static_cast<int64_t>(text.size()) < bytes) text += kParts[only < 12 ? only : Below(12)];
    return text;
  }

  void AddRanges(int64_t units, int64_t most, google::protobuf::RepeatedPtrField<v1::Range>* out) {
    const int64_t count = Upto(most + most / 8);
    const int64_t kind = Below(6);
    for (int64_t i = 0; i < count; ++i) {
      int64_t begin = 0, end = units;
      switch (kind) {
        case 0:  // all of the text, again and again
          break;
        case 1:  // nested
          begin = i % ((units + 1) / 2);
          end = units - begin;
          break;
        case 2:  // sliding
          begin = i % units;
          end = std::min(units, begin + 1 + units / 3);
          break;
        case 3:  // single units
          begin = i % units;
          end = begin + 1;
          break;
        case 4:  // anything inside
          begin = Below(units);
          end = begin + 1 + Below(units - begin);
          break;
        case 5:  // anything at all, seldom outside
          begin = Below(units);
          end = OneIn(3000) ? static_cast<int64_t>(random_() >> 1) : begin + Below(units) / 2 + 1;
          end = OneIn(2) ? end : std::min(end, units);
          break;
      }
      v1::Range* range = out->Add();
      range->set_begin(static_cast<uint64_t>(begin));
      range->set_end(static_cast<uint64_t>(std::max(end, begin + (OneIn(5000) ? 0 : 1))));
    }
  }

  std::mt19937_64 random_;
};

class Cases {
 public:
  Cases(const std::string& fixtures, uint64_t seed) : make_(seed) {
    auto encoder = Encoder::Load(fixtures + "/longformer-windows");
    auto tokenizer = Tokenizer::Load(fixtures + "/tokenizers/bert-uncased");
    if (!encoder.ok() || !tokenizer.ok()) {
      std::fprintf(stderr, "%s %s\n", encoder.status().ToString().c_str(),
                   tokenizer.status().ToString().c_str());
      std::exit(2);
    }
    encoder_ = *std::move(encoder);
    tokenizer_ = *std::move(tokenizer);
    model_ = encoder_->info();
    model_.prompts = {{"query", "find what answers this: "}};
    model_.pool_prompt = false;
    decoding_ = {.model = &model_,
                 .has_tokenizer = true,
                 .max_texts_per_request = 1,
                 .max_text_bytes = kMaxTextBytes,
                 .max_spans = kMaxSpans,
                 .max_global_spans = kMaxGlobalSpans};
    context_.model = &model_;
    context_.tokenize = [this](std::string_view text, const StopCheck& stop) {
      tokenized_ += static_cast<int64_t>(text.size());
      absl::StatusOr<Tokenization> tokens = tokenizer_->Encode(text, true, stop);
      if (tokens.ok()) {  // the model's vocabulary is smaller
        for (int32_t& id : tokens->ids) id = id % static_cast<int32_t>(model_.vocab_size);
      }
      return tokens;
    };
    context_.prefix_ids = tokenizer_->prefix_ids();
    context_.suffix_ids = tokenizer_->suffix_ids();
    context_.validate = [this](const TokenBatch::Text& text, const EncodeOptions& options) {
      return encoder_->Validate(text, options);
    };
    context_.max_tokens = model_.max_tokens;
    context_.max_spans = kMaxSpans;
    context_.max_global_tokens = kMaxGlobalTokens;
    context_.max_independent_tokens = kMaxIndependentTokens;
    context_.max_independent_bytes = 8 * kMaxTextBytes;
  }

  // False: a bound was passed.
  bool Run() {
    wire_ = make_.Input();
    options_ = make_.Options(wire_);
    const int64_t message = static_cast<int64_t>(wire_.ByteSizeLong());
    v1::Input taken = wire_;
    const Watch decoding;
    const auto input = DecodeInput(&taken, options_, "inputs[0]", decoding_);
    if (!Within("allocated while decoding", decoding.peak(), 16 * message + kSlack)) return false;
    if (!input.ok()) return true;
    const AdmissionClaim claim = ClaimFor(*input, context_.max_tokens);
    const int64_t counted = claim.bytes + claim.span_bytes;
    if (!Within("held after decoding", decoding.held(), kHeldPerByte * counted + kSlack))
      return false;
    return Prepare(*input, counted);
  }

  int64_t prepared() const { return prepared_; }
  int64_t encoded() const { return encoded_; }

 private:
  bool Prepare(const EncodeInput& input, int64_t counted) {
    tokenized_ = 0;
    const auto text_bytes = static_cast<int64_t>(input.text.size() + 2 * input.prompt.size());
    std::vector<TextShape> shapes;
    bool asked = false, fits = true;
    const int64_t asks_left = make_.OneIn(4) ? make_.Upto(40) : int64_t{1} << 40;
    int64_t asks = 0, tokenized_at_ask = 0, most_between = 0;
    const Watch watch;
    const PreparationControl control{
        .stop =
            [&] {
              most_between = std::max(most_between, tokenized_ - tokenized_at_ask);
              tokenized_at_ask = tokenized_;
              return ++asks > asks_left ? absl::CancelledError("stopped") : absl::OkStatus();
            },
        .admit = [&](std::span<const TextShape> planned, int64_t) -> absl::Status {
          asked = true;
          fits =
              Within("allocated while planning", watch.peak(), kPlanPerByte * counted + kSlack) &&
              Within("tokenised while planning", tokenized_, text_bytes);
          shapes.assign(planned.begin(), planned.end());
          return absl::OkStatus();
        }};
    const auto prepared = PrepareText(input, context_, control);
    if (!fits) return false;
    // A span is tokenised with its prompt, between two asks.
    if (!Within("tokenised between two asks", most_between,
                text_bytes + static_cast<int64_t>(input.text.size())))
      return false;
    if (!asked)
      return Within("allocated by a refusal", watch.peak(), kPlanPerByte * counted + kSlack);
    int64_t tokens = 0;
    double seconds = 0;
    for (const TextShape& shape : shapes) {
      tokens += shape.tokens;
      seconds += encoder_->cost_model().TextSeconds(shape);
    }
    const int64_t allowed = kPlanPerByte * counted + kPiecePerToken * tokens +
                            kPiecePerPiece * static_cast<int64_t>(shapes.size()) + kSlack;
    if (!Within("allocated", watch.peak(), allowed)) return false;
    if (!Within("tokenised", tokenized_, text_bytes + 8 * tokens)) return false;
    if (!prepared.ok()) return true;
    ++prepared_;
    return Pieces(*prepared, tokens, seconds) && Pool(*prepared) && Encode(*prepared);
  }

  bool Pieces(const PreparedText& prepared, int64_t tokens, double seconds) const {
    double exact = 0;
    for (const TextPiece& piece : prepared.pieces)
      exact += encoder_->cost_model().TextSeconds(ShapeOf(piece, prepared.lsh));
    return Within("tokens of the pieces", prepared.num_piece_tokens(), kTokensPerToken * tokens) &&
           Within("predicted microseconds", static_cast<int64_t>(1e6 * exact),
                  static_cast<int64_t>(1e6 * kSecondsPrice * seconds) + 10);
  }

  // Pools what the encoder would pool, from rows of ones.
  bool Pool(const PreparedText& prepared) const {
    constexpr int64_t kWidth = 2;
    for (const TextPiece& piece : prepared.pieces) {
      const auto rows = static_cast<int64_t>(piece.token_ids.size());
      PoolingTask task{.dimensions = kWidth, .ranges = piece.options.spans};
      if (piece.options.document_vector) task.ranges.push_back({0, rows});
      const std::vector<float> row(kWidth, 1.0F);
      StreamingPooler pooler(task);
      for (int64_t i = 0; i < rows; ++i) pooler.Add(row.data(), 1);
      const auto vectors = static_cast<int64_t>(task.ranges.size());
      if (!Within("pooled values", pooler.work(), kPoolPerRow * (rows + vectors) * kWidth))
        return false;
    }
    return true;
  }

  // One pass over all pieces, where they are few: every vector that was promised comes.
  bool Encode(const PreparedText& prepared) {
    if (prepared.num_piece_tokens() > 1000 || !make_.OneIn(8)) return true;
    TokenBatch batch;
    std::vector<EncodeOptions> wanted;
    for (const TextPiece& piece : prepared.pieces) {
      batch.Add({.token_ids = piece.token_ids, .global_positions = piece.global_positions});
      wanted.push_back(piece.options);
    }
    std::vector<EncodedText> encoded;
    for (auto& result : encoder_->Encode(batch, wanted)) {
      if (!result.ok()) return Fail(result.status().ToString());
      encoded.push_back(*std::move(result));
    }
    const EncodedDocument document = JoinPieces(prepared, std::move(encoded));
    if (document.vector.empty() != prepared.document.empty()) return Fail("no document vector");
    for (const EncodedSpan& span : document.spans) {
      if (span.vector.empty()) return Fail("a span without a vector");
    }
    ++encoded_;
    return true;
  }

  bool Within(const char* what, int64_t got, int64_t allowed) const {
    if (got <= allowed) return true;
    return Fail(std::string(what) + ": " + std::to_string(got) + ", allowed " +
                std::to_string(allowed));
  }
  bool Fail(const std::string& message) const {
    std::string request =
        "input {" + wire_.ShortDebugString() + "} options {" + options_.ShortDebugString() + "}";
    if (request.size() > 4000) request.resize(4000);
    std::fprintf(stderr, "%s\n%s\n", message.c_str(), request.c_str());
    return false;
  }

  Generator make_;
  std::unique_ptr<Encoder> encoder_;
  std::unique_ptr<Tokenizer> tokenizer_;
  ModelInfo model_;
  DecodingContext decoding_;
  PreparationContext context_;
  v1::Input wire_;
  v1::EncodeOptions options_;
  int64_t tokenized_ = 0;
  int64_t prepared_ = 0;
  int64_t encoded_ = 0;
};

}  // namespace
}  // namespace longspan

int main(int argc, char** argv) {
  // A server has loaded them before the first request.
  if (!longspan::LoadSentenceRules().ok()) return 1;
  if (argc < 3) return std::fprintf(stderr, "usage: %s FIXTURES CASES [SEED]\n", argv[0]), 2;
  const int64_t cases = std::atoll(argv[2]);
  const uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 20260101;
  longspan::Cases run(argv[1], seed);
  for (int64_t i = 0; i < cases; ++i) {
    if (run.Run()) continue;
    std::fprintf(stderr, "case %lld of seed %llu\n", static_cast<long long>(i),
                 static_cast<unsigned long long>(seed));
    return 1;
  }
  std::printf("%lld requests, of which %lld were prepared and %lld encoded\n",
              static_cast<long long>(cases), static_cast<long long>(run.prepared()),
              static_cast<long long>(run.encoded()));
  return 0;
}
