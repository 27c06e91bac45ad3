// Tokenize and Decode of tei.v1 on a real server.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include "tests/integration/tei_calls.h"
#include "tests/integration/test_server.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kTokenizers = LONGSPAN_FIXTURES "/tokenizers/";

tei::v1::EncodeRequest TextToTokenize(const std::string& text, bool add_special_tokens = false) {
  tei::v1::EncodeRequest request;
  request.set_inputs(text);
  request.set_add_special_tokens(add_special_tokens);
  return request;
}

// "text[start,stop)" of each token; a special one without the range.
std::vector<std::string> Described(const tei::v1::EncodeResponse& response) {
  std::vector<std::string> tokens;
  for (const tei::v1::SimpleToken& token : response.tokens()) {
    EXPECT_EQ(token.has_start(), !token.special());
    EXPECT_EQ(token.has_stop(), !token.special());
    tokens.push_back(token.special()
                         ? token.text()
                         : absl::StrCat(token.text(), "[", token.start(), ",", token.stop(), ")"));
  }
  return tokens;
}

TEST(TeiTokenizeTest, TokensHaveTheirTextAndPlace_InCharacters) {
  TestServer server({.tokenizer_folder = kTokenizers + "bert-uncased"});
  const auto plain = Tokenize(server.client(), TextToTokenize("The world, é the"));
  ASSERT_TRUE(plain.status.ok()) << plain.status.error_message();
  // As they stand in the text, not in lower case.
  EXPECT_THAT(Described(plain.response),
              ElementsAre("The[0,3)", "world[4,9)", ",[9,10)", "é[11,12)", "the[13,16)"));
  const auto framed = Tokenize(server.client(), TextToTokenize("the", true));
  EXPECT_THAT(Described(framed.response), ElementsAre("[CLS]", "the[0,3)", "[SEP]"));
  v1::TokenizeRequest request;
  request.add_texts("the");
  const auto tokens = server.client().Tokenize(request, absl::Seconds(20));
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  for (int i = 0; i < framed.response.tokens_size(); ++i)
    EXPECT_EQ(framed.response.tokens(i).id(), tokens->texts(0).tokens(i).id());
}

// The bytes of one character are tokens of their own; each stands for the whole character.
TEST(TeiTokenizeTest, TokensOfBytes_StandForTheirCharacter) {
  TestServer server({.tokenizer_folder = kTokenizers + "roberta"});
  const auto result = Tokenize(server.client(), TextToTokenize("a🙂b"));
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  const auto& tokens = result.response.tokens();
  ASSERT_GT(tokens.size(), 3);
  for (int i = 1; i + 1 < tokens.size(); ++i) {
    EXPECT_EQ(tokens[i].text(), "🙂");
    EXPECT_EQ(tokens[i].start(), 1u);
    EXPECT_EQ(tokens[i].stop(), 2u);
  }
  EXPECT_EQ(Described(result.response).back(), "b[2,3)");
}

TEST(TeiTokenizeTest, WithAPrompt_PlacesAreThoseOfTheTextAsItWasRead) {
  FakeModel fake{.tokenizer_folder = kTokenizers + "bert-uncased"};
  fake.prompts = {{"query", "of: "}};
  TestServer server(fake);
  tei::v1::EncodeRequest request = TextToTokenize("the");
  request.set_prompt_name("query");
  const auto result = Tokenize(server.client(), request);
  ASSERT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_THAT(Described(result.response), ElementsAre("of[0,2)", ":[2,3)", "the[4,7)"));
}

TEST(TeiTokenizeTest, BadInput_NamesTheField) {
  TestServer server({.tokenizer_folder = kTokenizers + "bert-uncased"}, {.max_text_bytes = 100});
  const auto empty = Tokenize(server.client(), TextToTokenize(""));
  EXPECT_EQ(empty.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(empty.status.error_message(), "inputs is empty; allowed: 1 to 100 bytes");
  EXPECT_EQ(empty.details().field, "inputs");
  const auto large = Tokenize(server.client(), TextToTokenize(std::string(101, 'x')));
  EXPECT_EQ(large.details().reason, "MAX_TEXT_BYTES");
  tei::v1::EncodeRequest request = TextToTokenize("the");
  request.set_prompt_name("query");
  EXPECT_EQ(Tokenize(server.client(), request).details().field, "prompt_name");
}

TEST(TeiTokenizeTest, AnAnswerThatIsTooLarge_IsRefused) {
  TestServer server({.tokenizer_folder = kTokenizers + "bert-uncased"}, {.max_answer_bytes = 4096});
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "the ";
  const auto result = Tokenize(server.client(), TextToTokenize(text));
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(result.details().field, "inputs");
  EXPECT_EQ(result.details().reason, "MAX_ANSWER_BYTES");
}

class TeiDecodeTest : public ::testing::Test {
 protected:
  std::vector<uint32_t> IdsOf(const std::string& text) {
    std::vector<uint32_t> ids;
    const auto result = Tokenize(server_.client(), TextToTokenize(text, true));
    for (const auto& token : result.response.tokens()) ids.push_back(token.id());
    return ids;
  }

  const std::string folder_ = kTokenizers + "bert-uncased";
  TestServer server_{{.tokenizer_folder = folder_}, {.max_text_bytes = 400}};
};

TEST_F(TeiDecodeTest, GivesTheTextBack_WithOrWithoutSpecialTokens) {
  const std::vector<uint32_t> ids = IdsOf("the number of the vector");
  EXPECT_EQ(Decode(server_.client(), ids, true).response.text(), "the number of the vector");
  EXPECT_EQ(Decode(server_.client(), ids).response.text(), "[CLS] the number of the vector [SEP]");
}

TEST_F(TeiDecodeTest, IdsOutsideTheVocabulary_NamesWhichOne) {
  const uint32_t first = IdsOf("the").front();
  for (const uint32_t id : {5'000'000u, 4'000'000'000u}) {
    const auto result = Decode(server_.client(), {first, id});
    EXPECT_EQ(result.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(result.details().field, "ids[1]");
    EXPECT_THAT(result.status.error_message(),
                StartsWith(absl::StrCat("ids[1] is ", id, "; allowed: ids of the vocabulary")));
  }
}

TEST_F(TeiDecodeTest, NoIds_OrTooMany_OrTooMuchText) {
  const auto none = Decode(server_.client(), {});
  EXPECT_EQ(none.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(none.status.error_message(), "ids is empty; allowed: 1 to 100 ids");
  const uint32_t the = IdsOf("the").at(1);
  EXPECT_TRUE(Decode(server_.client(), std::vector<uint32_t>(100, the)).status.ok());
  const auto many = Decode(server_.client(), std::vector<uint32_t>(101, the));
  EXPECT_EQ(many.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(many.status.error_message(), "ids has 101 ids; allowed: 1 to 100");
  EXPECT_EQ(many.details().reason, "MAX_TEXT_BYTES");
  const auto long_text = Decode(server_.client(), std::vector<uint32_t>(100, IdsOf("world").at(1)));
  EXPECT_EQ(long_text.details().field, "ids") << "100 tokens of 5 bytes";
  EXPECT_THAT(long_text.status.error_message(), HasSubstr("more than 400 bytes"));
}

}  // namespace
}  // namespace longspan
