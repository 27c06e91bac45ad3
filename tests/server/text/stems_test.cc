#include "server/text/stems.h"

#include <gmock/gmock.h>

#include <string>
#include <utility>
#include <vector>

namespace longspan {
namespace {

using testing::Contains;
using testing::HasSubstr;

std::string Stem(std::string_view language, std::string_view word) {
  auto stemmer = Stemmer::Create(language);
  EXPECT_TRUE(stemmer.ok()) << stemmer.status();
  return std::string(stemmer->Stem(word));
}

TEST(Stemmer, FormsOfOneWord_AreOneStem) {
  for (const char* word : {"rule", "rules", "ruled", "ruling", "rulings"})
    EXPECT_EQ(Stem("english", word), "rule") << word;
  EXPECT_EQ(Stem("german", "verträge"), Stem("german", "vertrag"));
  EXPECT_EQ(Stem("russian", "договоры"), Stem("russian", "договора"));
}

TEST(Stemmer, TheDefaultIsEnglish) { EXPECT_EQ(Stem("", "running"), "run"); }

TEST(Stemmer, None_LeavesWordsAsTheyAre) {
  EXPECT_EQ(Stem("none", "rulings"), "rulings");
  EXPECT_EQ(Stem("none", "court\xe2\x80\x99s"), "court\xe2\x80\x99s");
}

TEST(Stemmer, AGenitiveIsItsWord_WithEitherApostrophe) {
  EXPECT_EQ(Stem("english", "court's"), "court");
  EXPECT_EQ(Stem("english", "court\xe2\x80\x99s"), "court");
}

TEST(Stemmer, WordsOfOtherScripts_AndNoWord_StayAsTheyAre) {
  for (const char* word : {"東京", "тёплый", "42nd", ""}) EXPECT_EQ(Stem("english", word), word);
}

TEST(Stemmer, OneWordAfterTheOther_AlsoWhenItIsMoved) {
  auto created = Stemmer::Create("english");
  ASSERT_TRUE(created.ok());
  Stemmer stemmer = std::move(*created);
  EXPECT_EQ(stemmer.Stem("houses"), "hous");
  EXPECT_EQ(stemmer.Stem("a"), "a");
  EXPECT_EQ(stemmer.Stem("houses"), "hous");
}

TEST(Stemmer, TheLanguages_AreNoneAndSnowballs_AndEachCanBeUsed) {
  for (const char* language : {"none", "english", "german", "french", "russian", "arabic"})
    EXPECT_THAT(Stemmer::Languages(), Contains(language));
  for (const std::string& language : Stemmer::Languages()) EXPECT_EQ(Stem(language, ""), "");
}

TEST(Stemmer, AnUnknownLanguage_IsRefused_WithWhatIsAllowed) {
  for (const char* language : {"klingon", "en", "English", "eng"}) {
    const absl::Status refused = Stemmer::Create(language).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << language;
    EXPECT_THAT(std::string(refused.message()),
                testing::AllOf(HasSubstr(language), HasSubstr("allowed: "), HasSubstr("english, "),
                               HasSubstr("none, ")));
  }
}

}  // namespace
}  // namespace longspan
