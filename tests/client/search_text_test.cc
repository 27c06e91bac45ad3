#include "client/search_text.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <string>

namespace longspan {
namespace {

using testing::HasSubstr;
using testing::Not;

v1::SearchResult ResultIn(const std::string& text, const std::string& passage) {
  v1::SearchResult result;
  result.set_score(1.4321);
  result.set_similarity(0.6f);
  result.set_tokens_total(100);
  result.set_tokens_used(100);
  v1::SearchSpan* span = result.add_spans();
  span->mutable_bytes()->set_begin(text.find(passage));
  span->mutable_bytes()->set_end(text.find(passage) + passage.size());
  span->mutable_characters()->set_begin(7);
  span->mutable_characters()->set_end(40);
  span->set_score(2.5);
  span->set_similarity(0.75f);
  return result;
}

TEST(ResultText, TellsPlaceAndScores) {
  const std::string text = "one\ntwo\nThe lease ends\nin May.\n";
  const v1::SearchResult result = ResultIn(text, "The lease ends\nin May.");
  const std::string shown =
      ResultText(1, {"a.txt", {text, DocumentKind::kText}}, result, "lease", false);
  EXPECT_THAT(shown, HasSubstr("1  a.txt "));
  EXPECT_THAT(shown, HasSubstr("score 1.43, similarity 0.60\n"));
  EXPECT_THAT(shown, HasSubstr("   line 3, characters 7..40 "));
  EXPECT_THAT(shown, HasSubstr("score 2.50, similarity 0.75\n     The lease ends in May.\n"));
  EXPECT_THAT(shown, Not(HasSubstr("\x1b")));
}

TEST(ResultText, OfAPdf_TellsThePage) {
  const std::string text = "one\n\ftwo\n\fThe lease ends.";
  EXPECT_THAT(ResultText(12, {"a.pdf", {text, DocumentKind::kPdf}},
                         ResultIn(text, "The lease ends."), "lease", false),
              HasSubstr("   page 3, characters"));
}

TEST(ResultText, InColour_MarksTheWordsOfTheQuestion) {
  const std::string text = "The leases end; released on étage.";
  const std::string shown = ResultText(1, {"a", {text, DocumentKind::kText}}, ResultIn(text, text),
                                       "when does a lease ÉTAGE étage", true);
  EXPECT_THAT(shown, HasSubstr("The \x1b[1;33mleases\x1b[0m end; released"));
  EXPECT_THAT(shown, HasSubstr("\x1b[1;33métage\x1b[0m"));
}

TEST(ResultText, WithoutAText_TellsThePlace) {
  const v1::SearchResult result = ResultIn("The lease ends.", "lease");
  const std::string shown = ResultText(1, {"a", {}, false}, result, "lease", false);
  EXPECT_THAT(shown, HasSubstr("   characters 7..40  "));
  EXPECT_THAT(shown, HasSubstr("similarity 0.75\n"));
  EXPECT_EQ(std::count(shown.begin(), shown.end(), '\n'), 2);
}

void AddBestToken(const std::string& text, const std::string& token, float weight,
                  v1::SearchSpan* span) {
  v1::BestToken* best = span->add_best_tokens();
  best->mutable_bytes()->set_begin(text.find(token));
  best->mutable_bytes()->set_end(text.find(token) + token.size());
  best->set_weight(weight);
}

TEST(ResultText, InColour_UnderlinesTheBestTokens) {
  const std::string text = "Before. The  lease\nends on the last day of May.";
  v1::SearchResult result = ResultIn(text, "The  lease\nends on the last day of May.");
  v1::SearchSpan* span = result.mutable_spans(0);
  AddBestToken(text, "lease", 0.5f, span);
  AddBestToken(text, "nds", 0.3f, span);  // a part of a word
  AddBestToken(text, " day", 0.15f, span);
  AddBestToken(text, "of", 0.04f, span);  // decides nothing
  AddBestToken(text, "Before", 0.3f, span);
  const SearchedFile file = {"a", {text, DocumentKind::kText}};
  const std::string shown = ResultText(1, file, result, "leased until", true);
  EXPECT_THAT(shown, HasSubstr("     The \x1b[1;33;4mlease\x1b[0m e\x1b[4mnds\x1b[0m on the last "
                               "\x1b[4mday\x1b[0m of May.\n"));
  EXPECT_THAT(ResultText(1, file, result, "leased", false),
              HasSubstr("     The lease ends on the last day of May.\n"));
}

TEST(ResultText, InColour_UnderlinesNothingBehindTheCut) {
  const std::string text = "lease " + std::string(500, 'x') + " ends";
  v1::SearchResult result = ResultIn(text, text);
  AddBestToken(text, "lease", 0.5f, result.mutable_spans(0));
  AddBestToken(text, "ends", 0.5f, result.mutable_spans(0));
  const std::string shown = ResultText(1, {"a", {text, DocumentKind::kText}}, result, "when", true);
  EXPECT_THAT(shown, HasSubstr("\x1b[4mlease\x1b[0m xxx"));
  EXPECT_THAT(shown, HasSubstr("xxx...\n"));
}

TEST(ResultText, TellsWhatWasNotRead) {
  const std::string text = "The lease ends.";
  v1::SearchResult result = ResultIn(text, text);
  result.set_truncated(true);
  result.set_tokens_used(40);
  EXPECT_THAT(ResultText(1, {"a", {text, DocumentKind::kText}}, result, "lease", false),
              HasSubstr("read: 40 of 100 tokens"));
}

TEST(ReadAlike, FormsOfAWord) {
  EXPECT_TRUE(ReadAlike("lease", "leases"));
  EXPECT_TRUE(ReadAlike("rule", "Ruling"));
  EXPECT_TRUE(ReadAlike("ends", "end"));
  EXPECT_FALSE(ReadAlike("lease", "released"));
  EXPECT_FALSE(ReadAlike("in", "inside"));
  EXPECT_TRUE(ReadAlike("a", "A"));
  EXPECT_FALSE(ReadAlike("rent", "rental property"));
}

}  // namespace
}  // namespace longspan
