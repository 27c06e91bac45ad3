// Every rule by which an input from anybody is taken or refused: values on both sides of each
// bound, every member of each oneof and enum, and what each refusal says: code, field, what was
// got, what is allowed.
#include "server/wire/input_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint32_t kMaxUint32 = std::numeric_limits<uint32_t>::max();
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

// Decodes input_ with options_ under the path inputs[3], on a model that can do everything. A test
// takes away what it is about.
class InputDecoderTest : public ::testing::Test {
 protected:
  InputDecoderTest() {
    model_.architecture = "tiny";
    model_.vocab_size = 1000;
    model_.output_dimensions = 8;
    model_.pooling = {PoolingMode::kMean};
    model_.supports_global_attention = true;
    model_.supports_hashing = true;
    model_.num_hashes = 2;
    model_.prompts = {{"passage", "passage: "}, {"query", "query: "}};
    context_ = {
        .model = &model_, .has_tokenizer = true, .max_texts_per_request = 4, .max_text_bytes = 100};
    input_.set_text("the text");
  }

  absl::StatusOr<EncodeInput> Decode() const {
    v1::Input copy = input_;
    return DecodeInput(&copy, options_, "inputs[3]", context_);
  }
  EncodeInput Decoded() const {
    auto input = Decode();
    EXPECT_TRUE(input.ok()) << input.status();
    return input.ok() ? *std::move(input) : EncodeInput();
  }
  // `message` is what stands behind the field.
  void ExpectRefused(absl::StatusCode code, const std::string& field,
                     const std::string& message) const {
    const absl::Status status = Decode().status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_EQ(FieldOf(status), field);
    EXPECT_EQ(status.message(), absl::StrCat(field, " ", message));
  }

  void SetIds(const std::vector<uint32_t>& ids) {
    input_.mutable_token_ids()->clear_ids();
    for (const uint32_t id : ids) input_.mutable_token_ids()->add_ids(id);
  }
  static void AddRange(uint64_t begin, uint64_t end,
                       google::protobuf::RepeatedPtrField<v1::Range>* ranges) {
    v1::Range* range = ranges->Add();
    range->set_begin(begin);
    range->set_end(end);
  }
  void AddSpan(uint64_t begin = 0, uint64_t end = 3) {
    AddRange(begin, end, input_.mutable_spans());
  }
  void AddGlobalSpan(uint64_t begin = 0, uint64_t end = 3) {
    AddRange(begin, end, input_.mutable_global_attention_spans());
  }

  ModelInfo model_;
  DecodingContext context_;
  v1::Input input_;
  v1::EncodeOptions options_;
};

// --- role ---

TEST_F(InputDecoderTest, TextRole_ChoosesThePromptOfAMultiVectorModel) {
  model_.multi_vector.emplace();
  EXPECT_EQ(Decoded().options.text_role, TextRole::kDocument);
  EXPECT_EQ(Decoded().prompt, "");  // the model has no prompt "document"
  model_.prompts["document"] = "[D] ";
  EXPECT_EQ(Decoded().prompt, "[D] ");
  options_.set_text_role(v1::TEXT_ROLE_DOCUMENT);
  EXPECT_EQ(Decoded().prompt, "[D] ");
  options_.set_text_role(v1::TEXT_ROLE_QUERY);
  EXPECT_EQ(Decoded().options.text_role, TextRole::kQuery);
  EXPECT_EQ(Decoded().prompt, "query: ");
  options_.set_prompt_name("passage");
  EXPECT_EQ(Decoded().prompt, "passage: ");
  SetIds({5});
  options_.clear_prompt_name();
  EXPECT_EQ(Decoded().prompt, "");
}

TEST_F(InputDecoderTest, TextRole_IsRefusedWhereTheModelKnowsNone) {
  for (const v1::TextRole role : {v1::TEXT_ROLE_QUERY, v1::TEXT_ROLE_DOCUMENT}) {
    options_.set_text_role(role);
    ExpectRefused(kPrecondition, "options.text_role",
                  "is set; this is no multi-vector model, which would tell queries from documents; "
                  "allowed: unset");
  }
  options_.set_text_role(static_cast<v1::TextRole>(9));
  ExpectRefused(kInvalid, "options.text_role",
                "is 9; allowed: a value of longspan.v1.TextRole, 0..2");
}

// --- content ---

TEST_F(InputDecoderTest, DefaultOptions_AskForNothing) {
  const EncodeInput input = Decoded();
  EXPECT_EQ(input.field, "inputs[3]");
  EXPECT_EQ(input.text, "the text");
  EXPECT_THAT(input.token_ids, IsEmpty());
  EXPECT_EQ(input.prompt, "");
  EXPECT_EQ(input.truncation, Truncation::kReject);
  EXPECT_EQ(input.window_overlap, 0);
  EXPECT_EQ(input.global_attention, std::nullopt);
  EXPECT_EQ(input.span_policy, SpanPolicy::kNone);
  EXPECT_FALSE(input.independent_spans);
  EXPECT_EQ(input.options.pooling, std::nullopt);
  EXPECT_EQ(input.options.normalize, std::nullopt);
  EXPECT_EQ(input.options.dimensions, 0);
  EXPECT_TRUE(input.options.document_vector);
  EXPECT_EQ(input.lsh.num_hashes, 0);
  EXPECT_EQ(input.lsh.hash_seed, std::nullopt);
}

TEST_F(InputDecoderTest, NoContent_IsRefused) {
  input_.clear_content();
  ExpectRefused(kInvalid, "inputs[3]", "has no content; allowed: text or token_ids");
}

TEST_F(InputDecoderTest, Text_From1ByteToTheLimit) {
  for (const size_t bytes : {1, 100}) {
    input_.set_text(std::string(bytes, 'x'));
    EXPECT_EQ(Decoded().text.size(), bytes);
  }
  input_.set_text("");
  ExpectRefused(kInvalid, "inputs[3].text", "is empty; allowed: 1 to 100 bytes");
  input_.set_text(std::string(101, 'x'));
  ExpectRefused(kInvalid, "inputs[3].text", "has 101 bytes; allowed: 1 to 100 bytes");
}

TEST_F(InputDecoderTest, Text_CountsBytes_NotCharacters) {
  for (int i = 0; i < 50; ++i) input_.mutable_text()->append("\u00e9");  // 2 bytes each
  ExpectRefused(kInvalid, "inputs[3].text", "has 108 bytes; allowed: 1 to 100 bytes");
}

TEST_F(InputDecoderTest, Text_IsMovedOutOfTheMessage) {
  const std::string text(90, 'x');  // too long to be held inside the string object
  input_.set_text(text);
  const char* const held = input_.text().data();
  const auto decoded = DecodeInput(&input_, options_, "input", context_);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->text, text);
  EXPECT_EQ(decoded->text.data(), held);
}

TEST_F(InputDecoderTest, Text_NeedsATokenizer) {
  context_.has_tokenizer = false;
  ExpectRefused(kPrecondition, "inputs[3].text",
                "cannot be read: this model has no tokenizer; allowed: token_ids");
  SetIds({1, 2});
  EXPECT_THAT(Decoded().token_ids, ElementsAre(1, 2));
}

TEST_F(InputDecoderTest, TokenIds_AreTakenAsTheyAre_UpToTheVocabulary) {
  SetIds({0, 999, 7, 7});
  const EncodeInput input = Decoded();
  EXPECT_THAT(input.token_ids, ElementsAre(0, 999, 7, 7));
  EXPECT_EQ(input.text, "");
  SetIds({5, 1000});
  ExpectRefused(kInvalid, "inputs[3].token_ids.ids[1]", "is 1000; allowed: below 1000");
  SetIds({kMaxUint32});
  ExpectRefused(kInvalid, "inputs[3].token_ids.ids[0]", "is 4294967295; allowed: below 1000");
  SetIds({uint32_t{1} << 31});  // as int32 it would be negative
  ExpectRefused(kInvalid, "inputs[3].token_ids.ids[0]", "is 2147483648; allowed: below 1000");
}

TEST_F(InputDecoderTest, TokenIds_CountFourBytesEach) {
  SetIds(std::vector<uint32_t>(25, 1));
  EXPECT_EQ(Decoded().token_ids.size(), 25u);
  SetIds(std::vector<uint32_t>(26, 1));
  ExpectRefused(kInvalid, "inputs[3].token_ids.ids", "has 26 ids; allowed: at most 25");
  SetIds({});
  ExpectRefused(kInvalid, "inputs[3].token_ids.ids", "is empty; allowed: at least 1 id");
}

TEST_F(InputDecoderTest, TheFirstFaultIsTold) {
  input_.set_text("");
  options_.set_pooling(static_cast<v1::Pooling>(77));
  options_.set_dimensions(99);
  ExpectRefused(kInvalid, "inputs[3].text", "is empty; allowed: 1 to 100 bytes");
}

TEST_F(InputDecoderTest, ThePathIsTheCallers) {
  input_.set_text("");
  const absl::Status status = DecodeInput(&input_, options_, "input", context_).status();
  EXPECT_EQ(FieldOf(status), "input.text");
}

// --- prompts ---

TEST_F(InputDecoderTest, Prompt_ByName) {
  options_.set_prompt_name("query");
  EXPECT_EQ(Decoded().prompt, "query: ");
  options_.set_prompt_name("poem");
  ExpectRefused(kInvalid, "options.prompt_name", "is 'poem'; allowed: 'passage', 'query'");
  model_.prompts.clear();
  ExpectRefused(kInvalid, "options.prompt_name",
                "is 'poem'; allowed: none, this model has no prompts");
}

TEST_F(InputDecoderTest, Prompt_TheModelsDefaultWhereNoneIsNamed) {
  model_.default_prompt_name = "passage";
  EXPECT_EQ(Decoded().prompt, "passage: ");
  options_.set_prompt_name("query");
  EXPECT_EQ(Decoded().prompt, "query: ");
}

TEST_F(InputDecoderTest, Prompt_OnlyWithText) {
  SetIds({1});
  model_.default_prompt_name = "passage";
  EXPECT_EQ(Decoded().prompt, "") << "ids are used as they are";
  options_.set_prompt_name("query");
  ExpectRefused(kInvalid, "options.prompt_name",
                "is 'query' with token_ids; allowed: only with text");
}

// --- options of the vector ---

TEST_F(InputDecoderTest, Pooling_EveryValue) {
  const std::vector<std::pair<v1::Pooling, std::optional<PoolingMode>>> rows = {
      {v1::POOLING_UNSPECIFIED, std::nullopt},
      {v1::POOLING_CLS, PoolingMode::kCls},
      {v1::POOLING_MEAN, PoolingMode::kMean},
      {v1::POOLING_MAX, PoolingMode::kMax},
      {v1::POOLING_MEAN_SQRT_LEN, PoolingMode::kMeanSqrtLen},
      {v1::POOLING_WEIGHTED_MEAN, PoolingMode::kWeightedMean},
      {v1::POOLING_LAST_TOKEN, PoolingMode::kLastToken}};
  EXPECT_EQ(rows.size(), static_cast<size_t>(v1::Pooling_ARRAYSIZE));
  for (const auto& [wire, mode] : rows) {
    options_.set_pooling(wire);
    EXPECT_EQ(Decoded().options.pooling, mode) << wire;
  }
  for (const int unknown : {-1, v1::Pooling_ARRAYSIZE, 77}) {
    options_.set_pooling(static_cast<v1::Pooling>(unknown));
    ExpectRefused(kInvalid, "options.pooling",
                  absl::StrCat("is ", unknown, "; allowed: a value of longspan.v1.Pooling, 0..6"));
  }
}

TEST_F(InputDecoderTest, Normalize_IsTheModelsUnlessSet) {
  for (const bool normalize : {false, true}) {
    options_.set_normalize(normalize);
    EXPECT_EQ(Decoded().options.normalize, normalize);
  }
}

TEST_F(InputDecoderTest, Dimensions_UpToTheModels) {
  for (const uint32_t dimensions : {0, 1, 8}) {
    options_.set_dimensions(dimensions);
    EXPECT_EQ(Decoded().options.dimensions, static_cast<int32_t>(dimensions));
  }
  options_.set_dimensions(9);
  ExpectRefused(kInvalid, "options.dimensions", "is 9; allowed: at most 8");
  options_.set_dimensions(kMaxUint32);
  ExpectRefused(kInvalid, "options.dimensions", "is 4294967295; allowed: at most 8");
}

TEST_F(InputDecoderTest, VectorFormat_EveryValue) {
  for (int format = 0; format < v1::VectorFormat_ARRAYSIZE; ++format) {
    options_.set_vector_format(static_cast<v1::VectorFormat>(format));
    EXPECT_TRUE(Decode().ok()) << format;
  }
  for (const int unknown : {-1, v1::VectorFormat_ARRAYSIZE}) {
    options_.set_vector_format(static_cast<v1::VectorFormat>(unknown));
    ExpectRefused(
        kInvalid, "options.vector_format",
        absl::StrCat("is ", unknown, "; allowed: a value of longspan.v1.VectorFormat, 0..5"));
  }
}

TEST_F(InputDecoderTest, DocumentVector_MayBeLeftOutOnlyWithSpans) {
  options_.set_include_document_vector(true);
  EXPECT_TRUE(Decoded().options.document_vector);
  options_.set_include_document_vector(false);
  ExpectRefused(kInvalid, "options.include_document_vector",
                "is false without spans and lexical, so nothing would come back; allowed: true, or "
                "one of these");
  AddSpan();
  EXPECT_FALSE(Decoded().options.document_vector);
  input_.clear_spans();
  options_.set_span_policy(v1::SPAN_POLICY_SENTENCES);
  EXPECT_FALSE(Decoded().options.document_vector);
}

// --- lexical vectors ---

TEST_F(InputDecoderTest, LexicalVectors_OnlyWhereAskedFor_WithTheOptionsThatAreGiven) {
  EXPECT_FALSE(Decoded().lexical.has_value());
  options_.mutable_lexical();
  ASSERT_TRUE(Decoded().lexical.has_value());
  EXPECT_EQ(Decoded().lexical->k1, 1.2);
  options_.mutable_lexical()->set_k1(2);
  EXPECT_EQ(Decoded().lexical->k1, 2);
  options_.mutable_lexical()->set_b(2);
  ExpectRefused(kInvalid, "options.lexical.b", "is 2; allowed: 0 to 1");
}

TEST_F(InputDecoderTest, LexicalVectorsAlone_AreAnAnswer) {
  options_.set_include_document_vector(false);
  options_.mutable_lexical();
  EXPECT_FALSE(Decoded().options.document_vector);
}

TEST_F(InputDecoderTest, TokenIdsHaveNoWords) {
  input_.mutable_token_ids()->add_ids(1);
  options_.mutable_lexical();
  ExpectRefused(kInvalid, "inputs[3].token_ids.ids",
                "have no words for options.lexical; allowed: text, or lexical unset");
}

// --- truncation and windows ---

TEST_F(InputDecoderTest, Truncation_EveryValue) {
  const std::vector<std::pair<v1::Truncation, Truncation>> rows = {
      {v1::TRUNCATION_UNSPECIFIED, Truncation::kReject},
      {v1::TRUNCATION_REJECT, Truncation::kReject},
      {v1::TRUNCATION_HEAD, Truncation::kHead},
      {v1::TRUNCATION_TAIL, Truncation::kTail},
      {v1::TRUNCATION_HEAD_TAIL, Truncation::kHeadTail},
      {v1::TRUNCATION_WINDOWS, Truncation::kWindows}};
  EXPECT_EQ(rows.size(), static_cast<size_t>(v1::Truncation_ARRAYSIZE));
  for (const auto& [wire, truncation] : rows) {
    options_.set_truncation(wire);
    EXPECT_EQ(Decoded().truncation, truncation) << wire;
  }
  for (const int unknown : {-1, v1::Truncation_ARRAYSIZE}) {
    options_.set_truncation(static_cast<v1::Truncation>(unknown));
    ExpectRefused(
        kInvalid, "options.truncation",
        absl::StrCat("is ", unknown, "; allowed: a value of longspan.v1.Truncation, 0..5"));
  }
}

TEST_F(InputDecoderTest, MaxTokens_UpToTheLimitInForce) {
  EXPECT_EQ(Decoded().max_tokens, 0);
  context_.max_tokens = 512;
  for (const uint64_t allowed : {1, 512}) {
    options_.set_max_tokens(allowed);
    EXPECT_EQ(Decoded().max_tokens, static_cast<int64_t>(allowed));
  }
  for (const uint64_t larger : {uint64_t{513}, std::numeric_limits<uint64_t>::max()}) {
    options_.set_max_tokens(larger);
    ExpectRefused(kInvalid, "options.max_tokens",
                  absl::StrCat("is ", larger, "; allowed: 1 to 512, 0 = that limit"));
    EXPECT_EQ(ReasonOf(Decode().status()), kReasonMaxTokens);
  }
  context_.max_tokens = 0;  // no bound
  EXPECT_GT(Decoded().max_tokens, int64_t{1} << 32);
}

TEST_F(InputDecoderTest, WindowOverlap_OnlyWithWindows) {
  options_.set_truncation(v1::TRUNCATION_WINDOWS);
  for (const uint32_t overlap : {uint32_t{0}, uint32_t{1}, kMaxUint32}) {
    options_.set_window_overlap_tokens(overlap);  // its upper bound depends on the text's pieces
    EXPECT_EQ(Decoded().window_overlap, int64_t{overlap});
  }
  options_.set_window_overlap_tokens(1);
  for (const v1::Truncation other :
       {v1::TRUNCATION_UNSPECIFIED, v1::TRUNCATION_REJECT, v1::TRUNCATION_HEAD, v1::TRUNCATION_TAIL,
        v1::TRUNCATION_HEAD_TAIL}) {
    options_.set_truncation(other);
    ExpectRefused(kInvalid, "options.window_overlap_tokens",
                  "is 1; allowed: only with TRUNCATION_WINDOWS");
  }
}

// --- global attention ---

TEST_F(InputDecoderTest, GlobalAttention_EveryValue) {
  input_.add_global_token_positions(0);
  const std::vector<std::pair<v1::GlobalAttention, std::optional<GlobalAttention>>> rows = {
      {v1::GLOBAL_ATTENTION_UNSPECIFIED, std::nullopt},
      {v1::GLOBAL_ATTENTION_NONE, GlobalAttention::kNone},
      {v1::GLOBAL_ATTENTION_CLS, GlobalAttention::kCls},
      {v1::GLOBAL_ATTENTION_POSITIONS, GlobalAttention::kPositions}};
  EXPECT_EQ(rows.size(), static_cast<size_t>(v1::GlobalAttention_ARRAYSIZE));
  for (const auto& [wire, policy] : rows) {
    options_.set_global_attention(wire);
    EXPECT_EQ(Decoded().global_attention, policy) << wire;
  }
  for (const int unknown : {-1, v1::GlobalAttention_ARRAYSIZE}) {
    options_.set_global_attention(static_cast<v1::GlobalAttention>(unknown));
    ExpectRefused(
        kInvalid, "options.global_attention",
        absl::StrCat("is ", unknown, "; allowed: a value of longspan.v1.GlobalAttention, 0..3"));
  }
}

TEST_F(InputDecoderTest, GlobalPositions_NeedAnyToBeAskedFor) {
  options_.set_global_attention(v1::GLOBAL_ATTENTION_POSITIONS);
  ExpectRefused(kInvalid, "options.global_attention",
                "is POSITIONS without any; allowed: with global_attention_spans or "
                "global_token_positions");
  AddGlobalSpan();
  EXPECT_TRUE(Decode().ok());
  input_.clear_global_attention_spans();
  input_.add_global_token_positions(5);
  EXPECT_TRUE(Decode().ok());
}

TEST_F(InputDecoderTest, GlobalPositions_TravelOn_TooLargeOnesAsTheLargestInt32) {
  for (const uint32_t position : {uint32_t{7}, uint32_t{0}, uint32_t{INT32_MAX}, kMaxUint32})
    input_.add_global_token_positions(position);
  AddGlobalSpan(2, 5);
  AddGlobalSpan(0, std::numeric_limits<uint64_t>::max());
  const EncodeInput input = Decoded();
  EXPECT_THAT(input.global_positions, ElementsAre(7, 0, INT32_MAX, INT32_MAX));
  ASSERT_EQ(input.global_spans.size(), 2u);
  EXPECT_EQ(input.global_spans[0].begin, 2);
  EXPECT_EQ(input.global_spans[0].end, 5);
  EXPECT_EQ(input.global_spans[1].end, -1) << "text preparation refuses it";
}

TEST_F(InputDecoderTest, GlobalSpans_AreOfText_PositionsOfBoth) {
  SetIds({1, 2, 3});
  input_.add_global_token_positions(1);
  EXPECT_THAT(Decoded().global_positions, ElementsAre(1));
  AddGlobalSpan();
  ExpectRefused(kInvalid, "inputs[3].global_attention_spans",
                "are characters of a text; allowed with token_ids: global_token_positions");
}

TEST_F(InputDecoderTest, GlobalAttention_IsRefusedWhereTheModelHasNone) {
  model_.supports_global_attention = false;
  const std::string message = "asks for global attention; tiny has none; allowed: NONE";
  for (const auto allowed : {v1::GLOBAL_ATTENTION_UNSPECIFIED, v1::GLOBAL_ATTENTION_NONE}) {
    options_.set_global_attention(allowed);
    EXPECT_TRUE(Decode().ok()) << allowed;
  }
  for (const auto wanted : {v1::GLOBAL_ATTENTION_CLS, v1::GLOBAL_ATTENTION_POSITIONS}) {
    options_.set_global_attention(wanted);
    ExpectRefused(kPrecondition, "options.global_attention", message);
  }
  options_.clear_global_attention();
  AddGlobalSpan();
  ExpectRefused(kPrecondition, "inputs[3].global_token_positions", message);
  input_.clear_global_attention_spans();
  input_.add_global_token_positions(0);
  ExpectRefused(kPrecondition, "inputs[3].global_token_positions", message);
}

// --- hashing ---

TEST_F(InputDecoderTest, NumHashes_From1To64) {
  for (const uint32_t rounds : {0, 1, 64}) {
    options_.set_num_hashes(rounds);
    EXPECT_EQ(Decoded().lsh.num_hashes, static_cast<int32_t>(rounds));
  }
  options_.set_num_hashes(65);
  ExpectRefused(kInvalid, "options.num_hashes", "is 65; allowed: 1 to 64, 0 = the model's 2");
  options_.set_num_hashes(kMaxUint32);
  ExpectRefused(kInvalid, "options.num_hashes",
                "is 4294967295; allowed: 1 to 64, 0 = the model's 2");
}

TEST_F(InputDecoderTest, HashSeed_AnyValue_0Included) {
  for (const uint64_t seed : {uint64_t{0}, std::numeric_limits<uint64_t>::max()}) {
    options_.set_hash_seed(seed);
    EXPECT_EQ(Decoded().lsh.hash_seed, seed);
  }
}

TEST_F(InputDecoderTest, Hashing_IsRefusedWhereTheModelDoesNotHash) {
  model_.supports_hashing = false;
  EXPECT_TRUE(Decode().ok());
  options_.set_hash_seed(0);
  ExpectRefused(kPrecondition, "options.hash_seed", "is set; tiny does not hash; allowed: unset");
  options_.set_num_hashes(1);
  ExpectRefused(kPrecondition, "options.num_hashes", "is set; tiny does not hash; allowed: unset");
}

// --- spans ---

TEST_F(InputDecoderTest, SpanPolicy_EveryValue_WithAndWithoutGivenSpans) {
  struct Row {
    v1::SpanPolicy wire;
    std::optional<SpanPolicy> without;  // nullopt = refused
    std::optional<SpanPolicy> with;
  };
  const std::vector<Row> rows = {
      {v1::SPAN_POLICY_UNSPECIFIED, SpanPolicy::kNone, SpanPolicy::kGiven},
      {v1::SPAN_POLICY_NONE, SpanPolicy::kNone, std::nullopt},
      {v1::SPAN_POLICY_GIVEN, std::nullopt, SpanPolicy::kGiven},
      {v1::SPAN_POLICY_SENTENCES, SpanPolicy::kSentences, std::nullopt},
      {v1::SPAN_POLICY_PARAGRAPHS, SpanPolicy::kParagraphs, std::nullopt},
      {v1::SPAN_POLICY_FIXED, SpanPolicy::kFixed, std::nullopt}};
  EXPECT_EQ(rows.size(), static_cast<size_t>(v1::SpanPolicy_ARRAYSIZE));
  options_.set_span_tokens(4);  // for FIXED
  for (const Row& row : rows) {
    options_.set_span_policy(row.wire);
    input_.clear_spans();
    if (row.without.has_value()) {
      EXPECT_EQ(Decoded().span_policy, *row.without) << row.wire;
    } else {
      ExpectRefused(kInvalid, "inputs[3].spans", "are empty; SPAN_POLICY_GIVEN needs at least 1");
    }
    AddSpan();
    if (row.with.has_value()) {
      EXPECT_EQ(Decoded().span_policy, *row.with) << row.wire;
    } else {
      ExpectRefused(kInvalid, "inputs[3].spans",
                    "are given; allowed: with SPAN_POLICY_GIVEN or no policy");
    }
  }
  for (const int unknown : {-1, v1::SpanPolicy_ARRAYSIZE}) {
    options_.set_span_policy(static_cast<v1::SpanPolicy>(unknown));
    ExpectRefused(
        kInvalid, "options.span_policy",
        absl::StrCat("is ", unknown, "; allowed: a value of longspan.v1.SpanPolicy, 0..5"));
  }
}

TEST_F(InputDecoderTest, Spans_TravelOn_InTheCallersOrder) {
  AddSpan(4, 8);
  AddSpan(0, 3);
  AddSpan(uint64_t{1} << 63, std::numeric_limits<uint64_t>::max());
  const EncodeInput input = Decoded();
  ASSERT_EQ(input.spans.size(), 3u);
  EXPECT_EQ(input.spans[0].begin, 4);
  EXPECT_EQ(input.spans[0].end, 8);
  EXPECT_EQ(input.spans[1].begin, 0);
  EXPECT_EQ(input.spans[2].begin, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(input.spans[2].end, -1) << "text preparation refuses it";
}

TEST_F(InputDecoderTest, SpansOfIds_AreGivenOrFixed) {
  SetIds({1, 2, 3});
  for (const auto policy : {v1::SPAN_POLICY_SENTENCES, v1::SPAN_POLICY_PARAGRAPHS}) {
    options_.set_span_policy(policy);
    ExpectRefused(kInvalid, "options.span_policy",
                  "reads a text; allowed with token_ids: GIVEN, FIXED");
  }
  options_.set_span_policy(v1::SPAN_POLICY_FIXED);
  options_.set_span_tokens(2);
  EXPECT_EQ(Decoded().span_policy, SpanPolicy::kFixed);
  options_.set_span_policy(v1::SPAN_POLICY_GIVEN);
  AddSpan(0, 2);
  EXPECT_EQ(Decoded().span_policy, SpanPolicy::kGiven);
}

TEST_F(InputDecoderTest, SpanContext_EveryValue) {
  AddSpan();
  for (const auto& [wire, independent] :
       std::vector<std::pair<v1::SpanContext, bool>>{{v1::SPAN_CONTEXT_UNSPECIFIED, false},
                                                     {v1::SPAN_CONTEXT_DOCUMENT, false},
                                                     {v1::SPAN_CONTEXT_INDEPENDENT, true}}) {
    options_.set_span_context(wire);
    EXPECT_EQ(Decoded().independent_spans, independent) << wire;
  }
  for (const int unknown : {-1, v1::SpanContext_ARRAYSIZE}) {
    options_.set_span_context(static_cast<v1::SpanContext>(unknown));
    ExpectRefused(
        kInvalid, "options.span_context",
        absl::StrCat("is ", unknown, "; allowed: a value of longspan.v1.SpanContext, 0..2"));
  }
}

TEST_F(InputDecoderTest, FixedSpans_HaveATokenAtLeast_AndOverlapLessThanTheyHold) {
  options_.set_span_policy(v1::SPAN_POLICY_FIXED);
  ExpectRefused(kInvalid, "options.span_tokens", "is 0; SPAN_POLICY_FIXED allows: at least 1");
  for (const auto& [tokens, overlap] :
       std::vector<std::pair<uint32_t, uint32_t>>{{1, 0}, {4, 3}, {kMaxUint32, kMaxUint32 - 1}}) {
    options_.set_span_tokens(tokens);
    options_.set_span_overlap_tokens(overlap);
    const EncodeInput input = Decoded();
    EXPECT_EQ(input.span_tokens, int64_t{tokens});
    EXPECT_EQ(input.span_overlap, int64_t{overlap});
  }
  options_.set_span_tokens(4);
  options_.set_span_overlap_tokens(4);
  ExpectRefused(kInvalid, "options.span_overlap_tokens", "is 4; allowed: below span_tokens, 4");
}

TEST_F(InputDecoderTest, SpanSizes_TheLeastIsAtMostTheMost) {
  for (const auto policy : {v1::SPAN_POLICY_SENTENCES, v1::SPAN_POLICY_PARAGRAPHS}) {
    options_.set_span_policy(policy);
    for (const auto& [least, most] : std::vector<std::pair<uint32_t, uint32_t>>{
             {0, 0}, {0, 1}, {5, 5}, {kMaxUint32, 0}, {kMaxUint32, kMaxUint32}}) {
      options_.set_span_min_tokens(least);
      options_.set_span_max_tokens(most);
      const EncodeInput input = Decoded();
      EXPECT_EQ(input.span_min_tokens, int64_t{least});
      EXPECT_EQ(input.span_max_tokens, int64_t{most});
    }
    options_.set_span_min_tokens(6);
    options_.set_span_max_tokens(5);
    ExpectRefused(kInvalid, "options.span_min_tokens", "is 6; allowed: at most span_max_tokens, 5");
  }
}

TEST_F(InputDecoderTest, SpanSizes_OnlyWithSentencesAndParagraphs) {
  constexpr char kAllowed[] =
      "; allowed: only with SPAN_POLICY_SENTENCES and SPAN_POLICY_PARAGRAPHS";
  options_.set_span_tokens(4);  // for FIXED
  for (const auto policy : {v1::SPAN_POLICY_UNSPECIFIED, v1::SPAN_POLICY_NONE,
                            v1::SPAN_POLICY_FIXED, v1::SPAN_POLICY_GIVEN}) {
    if (policy == v1::SPAN_POLICY_GIVEN) AddSpan();
    options_.set_span_policy(policy);
    options_.set_span_min_tokens(3);
    options_.set_span_max_tokens(7);
    ExpectRefused(kInvalid, "options.span_min_tokens", absl::StrCat("is 3", kAllowed));
    options_.set_span_min_tokens(0);
    ExpectRefused(kInvalid, "options.span_max_tokens", absl::StrCat("is 7", kAllowed));
  }
}

TEST_F(InputDecoderTest, FixedSpans_AreReadWithTheirPolicyOnly) {
  options_.set_span_overlap_tokens(9);
  const EncodeInput input = Decoded();
  EXPECT_EQ(input.span_tokens, 0);
  EXPECT_EQ(input.span_overlap, 0);
}

TEST_F(InputDecoderTest, SpansNeedAPoolingOfManyTokens) {
  AddSpan();
  const auto refuses = [&](const std::string& name) {
    ExpectRefused(kPrecondition, "options.pooling",
                  absl::StrCat("is ", name,
                               ", which has no vector for a span; allowed: name MEAN, or "
                               "SPAN_CONTEXT_INDEPENDENT"));
  };
  model_.pooling = {PoolingMode::kCls};
  refuses("cls");
  model_.pooling = {PoolingMode::kMean, PoolingMode::kLastToken};  // concatenated
  refuses("lasttoken");
  options_.set_pooling(v1::POOLING_MEAN);
  EXPECT_TRUE(Decode().ok()) << "the named pooling replaces the model's";
  model_.pooling = {PoolingMode::kMean};
  for (const auto& [pooling, name] : std::vector<std::pair<v1::Pooling, std::string>>{
           {v1::POOLING_CLS, "cls"}, {v1::POOLING_LAST_TOKEN, "lasttoken"}}) {
    options_.set_pooling(pooling);
    refuses(name);
  }
  options_.set_span_context(v1::SPAN_CONTEXT_INDEPENDENT);
  EXPECT_TRUE(Decode().ok()) << "each span is a text of its own";
  options_.clear_span_context();
  input_.clear_spans();
  EXPECT_TRUE(Decode().ok()) << "no spans";
}

// --- prompts by themselves ---

TEST(FindPromptTest, NamesTheCallersField) {
  ModelInfo model;
  model.prompts = {{"query", "query: "}};
  const auto found = FindPrompt("query", "prompt_name", model);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(**found, "query: ");
  EXPECT_EQ(*FindPrompt("", "prompt_name", model), nullptr);
  const absl::Status unknown = FindPrompt("poem", "prompt_name", model).status();
  EXPECT_EQ(unknown.code(), kInvalid);
  EXPECT_EQ(FieldOf(unknown), "prompt_name");
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("allowed: 'query'"));
}

// --- how many ---

// Counted before they are copied.
TEST_F(InputDecoderTest, MoreSpansThanAllowed_AreRefused) {
  context_.max_spans = 5;
  for (int i = 0; i < 5; ++i) AddSpan();
  EXPECT_EQ(Decoded().spans.size(), 5U);
  AddSpan();
  ExpectRefused(kInvalid, "inputs[3].spans", "are 6; allowed: at most 5");
}

TEST_F(InputDecoderTest, MoreGlobalSpansAndPositionsThanAllowed_AreRefused) {
  context_.max_global_spans = 5;
  for (int i = 0; i < 3; ++i) AddGlobalSpan();
  for (int i = 0; i < 2; ++i) input_.add_global_token_positions(1);
  EXPECT_EQ(Decoded().global_spans.size(), 3U);
  EXPECT_EQ(Decoded().global_positions.size(), 2U);
  input_.add_global_token_positions(1);
  ExpectRefused(kInvalid, "inputs[3].global_attention_spans",
                "are 6, spans and positions together; allowed: at most 5");
  input_.clear_global_attention_spans();
  for (int i = 0; i < 3; ++i) input_.add_global_token_positions(1);
  ExpectRefused(kInvalid, "inputs[3].global_token_positions",
                "are 6, spans and positions together; allowed: at most 5");
}

}  // namespace
}  // namespace longspan
