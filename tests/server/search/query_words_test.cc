// Counts of a question's words against blocks that are read one by one.
#include "server/search/query_words.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "core/search/cells.h"
#include "server/text/text_preparation.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kCell = 2;

// A token for each word between blanks.
absl::StatusOr<Tokenization> Tokens(std::string_view text, const StopCheck& = {}) {
  Tokenization out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = text.find_first_not_of(' ', at);
    if (begin == std::string_view::npos) break;
    at = std::min(text.find(' ', begin), text.size());
    out.ids.push_back(static_cast<int32_t>(at - begin));
    out.bytes.push_back({static_cast<int64_t>(begin), static_cast<int64_t>(at)});
    out.characters.push_back(out.bytes.back());
    out.special.push_back(false);
  }
  return out;
}

class QueryWordsTest : public testing::Test {
 protected:
  void Prepare(int64_t max_tokens = 0) {
    ModelInfo model;
    EncodeInput input{.field = "documents[0]", .text = text_, .truncation = truncation_};
    input.options.document_vector = true;
    input.wants_token_places = true;
    const auto prepared =
        PrepareText(input, {.model = &model, .tokenize = Tokens, .max_tokens = max_tokens});
    ASSERT_TRUE(prepared.ok()) << prepared.status();
    places_ = prepared->token_places;
  }
  absl::StatusOr<CellWords> Count(const std::string& query, const StopCheck& stop = {}) {
    Stemmer stemmer = *Stemmer::Create(language_);
    const QueryWords words = *QueryWords::Read(query, stemmer);
    return words.CountIn(text_, *places_, kCell, stemmer, stop);
  }
  // "counts of the question's words / length" of each block.
  std::vector<std::string> Blocks(const std::string& query) {
    std::vector<std::string> blocks;
    const auto counted = Count(query);
    EXPECT_TRUE(counted.ok()) << counted.status();
    for (const WordCounts& block : counted->Blocks()) {
      std::string shown;
      for (const int32_t count : block.counts) shown += std::to_string(count) + " ";
      blocks.push_back(shown + "/ " + std::to_string(block.length));
    }
    return blocks;
  }

  std::string text_, language_ = "english";
  Truncation truncation_ = Truncation::kReject;
  std::shared_ptr<const TokenPlaces> places_;
};

TEST_F(QueryWordsTest, BlocksOverlap_AndCountTheWordsThatBeginInThem) {
  text_ = "a b a c a d b e f a g h";  // cells of two: ab ac ad be fa gh
  Prepare();
  EXPECT_THAT(Blocks("a b"), ElementsAre("3 2 / 8", "2 1 / 8", "1 0 / 4"));
}

TEST_F(QueryWordsTest, FormsOfAWord_AreOneWord_InItsLanguage) {
  text_ = "Leases, LEASED the lease";
  Prepare();
  EXPECT_THAT(Blocks("lease leases"), ElementsAre("3 / 4"));
  language_ = "none";
  EXPECT_THAT(Blocks("lease leases"), ElementsAre("1 1 / 4"));
}

TEST_F(QueryWordsTest, APunctuationMark_IsNoWord) {
  text_ = "one - two .";
  Prepare();
  EXPECT_THAT(Blocks("two - !"), ElementsAre("1 / 2"));
}

TEST_F(QueryWordsTest, WhatIsNotRead_IsNotCounted_AndNoBlockCrossesTheGap) {
  text_ = "a a a a b b b b b a a a";
  truncation_ = Truncation::kHeadTail;
  Prepare(6);
  EXPECT_THAT(Blocks("a b"), ElementsAre("3 0 / 3", "3 0 / 3"));
}

TEST_F(QueryWordsTest, AQuestionWithoutWords_CountsLengths) {
  text_ = "one two three";
  Prepare();
  EXPECT_THAT(Blocks("?!"), ElementsAre("/ 3"));
}

TEST_F(QueryWordsTest, LongTexts_AskWhetherToGoOn) {
  for (int i = 0; i < 20000; ++i) text_ += "word ";
  Prepare();
  int asked = 0;
  const auto counted =
      Count("word", [&] { return ++asked == 2 ? absl::CancelledError("gone") : absl::OkStatus(); });
  EXPECT_EQ(counted.status(), absl::CancelledError("gone"));
}

}  // namespace
}  // namespace longspan
