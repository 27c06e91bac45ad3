#include "server/wire/put_decoder.h"

#include <gmock/gmock.h>

#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

void ExpectFault(const absl::Status& status, const std::string& field, const std::string& message,
                 absl::StatusCode code = kInvalid) {
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_EQ(FieldOf(status), field) << status;
  EXPECT_EQ(status.message(), absl::StrCat(field, " ", message));
}

class PutDecoderTest : public testing::Test {
 protected:
  PutDecoderTest() {
    model_.architecture = "tiny";
    model_.vocab_size = 1000;
    model_.output_dimensions = 8;
    context_ = {.model = &model_,
                .has_tokenizer = true,
                .max_texts_per_request = 3,
                .max_text_bytes = 100,
                .max_tokens = 4096};
    request_.set_collection("notes");
    Add("a", "Then.");
  }
  void Add(const std::string& id, const std::string& text) {
    v1::SearchDocument* document = request_.add_documents();
    document->set_id(id);
    document->set_text(text);
  }
  absl::StatusOr<PutRequest> Decode() const {
    v1::PutDocumentsRequest copy = request_;
    return DecodePutRequest(&copy, context_);
  }
  void ExpectRefused(const std::string& field, const std::string& message,
                     absl::StatusCode code = kInvalid) const {
    ExpectFault(Decode().status(), field, message, code);
  }
  v1::PutOptions& options() { return *request_.mutable_options(); }

  ModelInfo model_;
  DecodingContext context_;
  v1::PutDocumentsRequest request_;
};

TEST_F(PutDecoderTest, Unset_IsLeftToTheCollection) {
  const auto request = Decode();
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->collection.name, "notes");
  EXPECT_EQ(request->collection.owner, "") << "whoever knows the caller sets it";
  EXPECT_THAT(request->ids, ElementsAre("a"));
  ASSERT_EQ(request->documents.size(), 1u);
  EXPECT_EQ(request->documents[0].text, "Then.");
  EXPECT_EQ(request->documents[0].truncation, Truncation::kReject);
  EXPECT_EQ(request->documents[0].options.text_role, TextRole::kDocument);
  EXPECT_FALSE(request->format.has_value());
  EXPECT_FALSE(request->cell_tokens.has_value());
  EXPECT_FALSE(request->language.has_value());
  EXPECT_EQ(request->time_to_live, absl::InfiniteDuration());
}

TEST_F(PutDecoderTest, EveryOptionIsRead) {
  Add("b", "Later.");
  options().set_truncation(v1::TRUNCATION_WINDOWS);
  options().set_window_overlap_tokens(5);
  options().set_max_tokens(50);
  options().set_ttl_seconds(1.5);
  options().set_format(v1::KEPT_FORMAT_TWO_BIT);
  options().set_span_tokens(100);
  options().set_language("german");
  const auto request = Decode();
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_THAT(request->ids, ElementsAre("a", "b"));
  for (const EncodeInput& document : request->documents) {
    EXPECT_EQ(document.truncation, Truncation::kWindows);
    EXPECT_EQ(document.window_overlap, 5);
    EXPECT_EQ(document.max_tokens, 50);
  }
  EXPECT_EQ(request->time_to_live, absl::Milliseconds(1500));
  EXPECT_EQ(request->format, TokenFormat::kTwoBit);
  EXPECT_EQ(request->cell_tokens, 50);
  EXPECT_EQ(request->language, "german");
}

TEST_F(PutDecoderTest, Names) {
  const std::string allowed = "; allowed: 1 to 64 of A-Z a-z 0-9 . _ -, not starting with a dot";
  for (const std::string& good : {std::string("A"), std::string("a.b_c-9"), std::string("-"),
                                  std::string("_"), std::string(64, 'x')}) {
    request_.set_collection(good);
    EXPECT_TRUE(Decode().ok()) << good;
  }
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), std::string(".a"), std::string("a/b"),
        std::string("a b"), std::string("a\\b"), std::string("../a"), std::string("a%2F"),
        std::string("\xC3\xA4"), std::string("a\nb"), std::string("{name}")}) {
    request_.set_collection(bad);
    ExpectRefused("collection", absl::StrCat("is ", Quoted(bad), allowed));
  }
  request_.set_collection(std::string("a\0b", 3));
  EXPECT_EQ(FieldOf(Decode().status()), "collection");
  request_.set_collection(std::string(65, 'x'));
  const absl::Status status = Decode().status();
  EXPECT_EQ(FieldOf(status), "collection");
  EXPECT_LT(status.message().size(), 200u) << "a name is cut in the message";
}

TEST_F(PutDecoderTest, EveryDocumentHasAnIdOfItsOwn) {
  Add("", "Later.");
  ExpectRefused("documents[1].id", "is empty; allowed: an id of its own");
  request_.mutable_documents(1)->set_id("a");
  ExpectRefused("documents[1].id", "is 'a', and so is documents[0].id; allowed: an id of its own");
  request_.mutable_documents(1)->set_id("A");
  EXPECT_TRUE(Decode().ok()) << Decode().status();
  request_.mutable_documents(1)->set_id(std::string(4096, 'i'));
  EXPECT_TRUE(Decode().ok()) << Decode().status();
  request_.mutable_documents(1)->set_id(std::string(4097, 'i'));
  ExpectRefused("documents[1].id", "has 4097 bytes; allowed: at most 4096");
  EXPECT_EQ(ReasonOf(Decode().status()), kReasonMaxIdBytes);
}

TEST_F(PutDecoderTest, NumberOfDocuments) {
  request_.clear_documents();
  ExpectRefused("documents", "is empty; allowed: 1 to 3");
  for (int i = 0; i < 3; ++i) Add(absl::StrCat(i), "text");
  EXPECT_TRUE(Decode().ok()) << Decode().status();
  Add("3", "text");
  ExpectRefused("documents", "has 4 texts; allowed: 1 to 3");
  EXPECT_EQ(ReasonOf(Decode().status()), kReasonMaxTextsPerRequest);
}

TEST_F(PutDecoderTest, AFaultOfADocument_NamesItAndItsId) {
  Add("second", std::string(101, 'a'));
  const absl::Status status = Decode().status();
  EXPECT_EQ(FieldOf(status), "documents[1].text");
  EXPECT_THAT(MessageForCaller(status), HasSubstr("documents[1].text (id 'second') has 101 bytes"));
  request_.mutable_documents(1)->set_text("");
  ExpectRefused("documents[1].text", "is empty; allowed: 1 to 100 bytes");
}

TEST_F(PutDecoderTest, TimesToLive) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double wrong : {0.0, -0.0, -1.0, 3.3e11, infinity, -infinity, nan}) {
    options().set_ttl_seconds(wrong);
    ExpectRefused("options.ttl_seconds",
                  absl::StrCat("is ", wrong, "; allowed: above 0, to 3.2e11"));
  }
  for (const double good : {1e-9, 0.5, 1.0, 3.2e11}) {
    options().set_ttl_seconds(good);
    ASSERT_TRUE(Decode().ok()) << good;
    EXPECT_EQ(Decode()->time_to_live, absl::Seconds(good));
  }
}

TEST_F(PutDecoderTest, SettingsOfACollection) {
  for (const uint32_t wrong : {1u, 7u, 9u, 8194u}) {
    options().set_span_tokens(wrong);
    ExpectRefused("options.span_tokens",
                  absl::StrCat("is ", wrong, "; allowed: even numbers from 8 to 8192"));
  }
  options().set_span_tokens(8192);
  EXPECT_EQ(Decode()->cell_tokens, 4096);
  options().set_language("klingon");
  EXPECT_EQ(FieldOf(Decode().status()), "options.language");
  EXPECT_THAT(std::string(Decode().status().message()), HasSubstr("is 'klingon'; allowed: "));
  options().set_language("none");
  EXPECT_EQ(Decode()->language, "none");
  options().set_format(static_cast<v1::KeptFormat>(3));
  ExpectRefused("options.format", "is 3; allowed: KEPT_FORMAT_INT8, KEPT_FORMAT_TWO_BIT");
  options().set_format(v1::KEPT_FORMAT_INT8);
  EXPECT_EQ(Decode()->format, TokenFormat::kInt8);
}

TEST_F(PutDecoderTest, HowDocumentsAreRead_IsCheckedAsEncodesOptionsAre) {
  options().set_window_overlap_tokens(5);
  EXPECT_EQ(FieldOf(Decode().status()), "options.window_overlap_tokens");
  options().clear_window_overlap_tokens();
  options().set_truncation(static_cast<v1::Truncation>(9));
  EXPECT_EQ(FieldOf(Decode().status()), "options.truncation");
}

TEST_F(PutDecoderTest, ThePromptIsThatOfDocuments) {
  model_.prompts = {{"query", "q: "}, {"passage", "p: "}, {"document", "d: "}};
  EXPECT_EQ(Decode()->documents[0].prompt, "d: ");
  options().set_document_prompt_name("passage");
  EXPECT_EQ(Decode()->documents[0].prompt, "p: ");
  options().set_document_prompt_name("none");
  EXPECT_EQ(FieldOf(Decode().status()), "options.document_prompt_name");
}

TEST_F(PutDecoderTest, WithoutATokenizer_NothingIsKept) {
  context_.has_tokenizer = false;
  ExpectRefused("documents", "cannot be kept: this model has no tokenizer, so it searches no texts",
                absl::StatusCode::kFailedPrecondition);
}

class DeleteDecoderTest : public testing::Test {
 protected:
  DeleteDecoderTest() { request_.set_collection("notes"); }
  absl::StatusOr<DeleteRequest> Decode() const {
    v1::DeleteDocumentsRequest copy = request_;
    return DecodeDeleteRequest(&copy);
  }
  void ExpectRefused(const std::string& field, const std::string& message) const {
    ExpectFault(Decode().status(), field, message);
  }
  v1::DeleteDocumentsRequest request_;
};

TEST_F(DeleteDecoderTest, IdsOrAll) {
  ExpectRefused("ids", "is empty, and all is false; allowed: one of them");
  request_.add_ids("a");
  request_.add_ids("");   // no document has it
  request_.add_ids("a");  // once more
  auto request = Decode();
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->collection.name, "notes");
  EXPECT_THAT(request->ids, ElementsAre("a", "", "a"));
  EXPECT_FALSE(request->all);
  request_.set_all(true);
  ExpectRefused("all", "is true, and there are ids; allowed: one of them");
  request_.clear_ids();
  request = Decode();
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_TRUE(request->all);
  EXPECT_TRUE(request->ids.empty());
}

TEST_F(DeleteDecoderTest, Bounds) {
  for (int i = 0; i < 10'000; ++i) request_.add_ids(absl::StrCat(i));
  EXPECT_TRUE(Decode().ok()) << Decode().status();
  request_.add_ids("one more");
  ExpectRefused("ids", "are 10001; allowed: 1 to 10000");
  request_.clear_ids();
  request_.add_ids("a");
  request_.add_ids(std::string(4097, 'i'));
  ExpectRefused("ids[1]", "has 4097 bytes; allowed: at most 4096");
  EXPECT_EQ(ReasonOf(Decode().status()), kReasonMaxIdBytes);
}

TEST_F(DeleteDecoderTest, ANameIsNeeded) {
  request_.add_ids("a");
  for (const char* bad : {"", ".a", "a/b"}) {
    request_.set_collection(bad);
    EXPECT_EQ(FieldOf(Decode().status()), "collection") << bad;
  }
}

}  // namespace
}  // namespace longspan
