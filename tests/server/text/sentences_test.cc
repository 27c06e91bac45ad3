// Sentences as people cut them, in many languages and of many forms. Each text is written with | at
// each place where it is to be cut; the test takes the bars out and finds them again.
#include "server/text/sentences.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "server/text/abbreviations.h"
#include "server/text/text_segments.h"

namespace longspan {
namespace {

std::vector<std::string> Sentences(const std::string& text) {
  std::vector<std::string> sentences;
  EXPECT_TRUE(ForEachSentence(text, [&](const TextSegment& segment) {
                sentences.push_back(
                    text.substr(segment.bytes.begin, segment.bytes.end - segment.bytes.begin));
                return true;
              }).ok());
  return sentences;
}

// `marked`: "One. |Two." The bars stand behind the white space. "¦" stands for a bar where no white
// space is.
void ExpectCuts(const std::string& marked) {
  const std::string bars = absl::StrReplaceAll(marked, {{"¦", "|"}});
  std::vector<std::string> wanted = absl::StrSplit(bars, '|');
  for (std::string& sentence : wanted) sentence = std::string(absl::StripAsciiWhitespace(sentence));
  EXPECT_EQ(Sentences(absl::StrReplaceAll(bars, {{"|", ""}})), wanted) << marked;
}
void ExpectEachCut(const std::vector<std::string>& texts) {
  for (const std::string& text : texts) ExpectCuts(text);
}

// --- what was wrong before ICU ---

TEST(SentencesTest, TitlesAndAbbreviations_StayWithWhatTheyBelongTo) {
  ExpectEachCut({"Dr. Smith came. |He sat down.", "See e.g. Table 2 for more. |It is long.",
                 "It was Prof. J. Miller. |Mrs. Jones left.",
                 "Items etc. are sold, i.e. Cars and vans.",
                 "See Fig. 3 and Eq. 4. |Then No. 5 and pp. 7 of vol. 2.",
                 "Brown v. Board was cited. |So was Roe vs. Wade."});
}

TEST(SentencesTest, Initials_StayWithTheName) {
  ExpectEachCut({"J. R. R. Tolkien wrote it. |We read it.", "J.R.R. Tolkien wrote it. |We read it.",
                 "It was John F. Kennedy. |He spoke.",
                 "A. Einstein und M. Planck trafen sich. |Gut so."});
}

TEST(SentencesTest, CitationsOfLaw_StayWhole) {
  ExpectEachCut({"17 U.S.C. 107 allows it. |It is fair.", "See 17 U.S.C. § 107. |It allows that.",
                 "Under 42 C.F.R. 483.10 he may stay.",
                 "So held 410 U.S. 113 in 1973. |It was binding.",
                 "Nach Art. 5 Abs. 1 GG und § 823 BGB. |Das gilt."});
}

TEST(SentencesTest, ListNumbers_StayWithTheFirstSentence) {
  ExpectEachCut({"1. First do this. |Then that.", "1.) First do this. |Then that.",
                 "a. First do this. |Then that.", "IV. The Results. |They are good.",
                 "1.2. Scope. |It is wide."});
}

TEST(SentencesTest, SpacedEllipses_AreNotSentences) {
  ExpectEachCut({"And so . . . it goes. |Well . . . |Then no.", "Wait... |What? |I see... and go.",
                 "Well… |Then no.", "He was… odd."});
}

TEST(SentencesTest, AnAbbreviationEndsASentence_WhereTheNextWordBeginsOne) {
  ExpectEachCut({"He lives in the U.S. |He left.", "It came at 5 p.m. |The door was shut.",
                 "He is at Acme Inc. |They make pens.", "The U.S. Senate met. |It voted.",
                 "Plan B. |We took it.", "So am I. |Mary too.", "Albert I. Jones came. |He left.",
                 "They sell pens, ink etc. |Paper is extra.",
                 "Er kam um 8 Uhr usw. |Danach ging er."});
}

TEST(SentencesTest, WordsThatEndLikeAnAbbreviation_EndSentences) {
  ExpectEachCut({"I went to the casino. |Paul stayed.", "He said no. |Paul stayed.",
                 "Come in. |Paul waits.", "It was all. |Paul knew.",
                 "He didn't. |Paul did in the 80's. |Peter too.",
                 "The cat sat on it. |Paul saw the cat. |Good."});
}

TEST(SentencesTest, NoSentenceBeginsWithALowerCaseLetter) {
  ExpectEachCut({"\"Stop!\" he said. |\"Why?\" she asked.", "Yahoo! was a firm. |It is not.",
                 "Was it? or not? |Who knows."});
}

TEST(SentencesTest, QuotesAndBracketsBelongToTheirSentence) {
  ExpectEachCut({"He said: \"I go.\" |Then he went.", "(He went.) |She stayed.",
                 "“Go.” |‘No.’ |«Si.» |Fine.", "It works.[1] |It is fast.[12, 13] |Done.",
                 "**It works.** |_Really._ |`X = 1.` |Done.",
                 "<b>It works.</b> |<i>Really.</i> |Done."});
}

TEST(SentencesTest, NumbersAndDashesBeginSentences) {
  ExpectEachCut({"It was good. |5 men came. |17 of them left.",
                 "\"Go!\" |– No. |- Yes, he said – fine.", "See no. 5 and approx. 7 of N°. 1026."});
}

TEST(SentencesTest, NumbersAndAddresses_AreNotCut) {
  ExpectEachCut({"It costs 3.50 or 1.000,00. |Fine.", "See www.example.com/a.html?b=c. |Fine.",
                 "Version 1.2.3 is out. |Fine.", "Mail a.b@c.org now! |Fine."});
}

TEST(SentencesTest, ALineFeedInProse_IsABlank) {
  ExpectEachCut({"One is\nhere. |Two is\r\nthere. |Dr.\nSmith too.", "One.\n|Two.\r\n|Three."});
}

// --- languages ---

TEST(SentencesTest, English) {
  ExpectCuts(
      "Mr. and Mrs. Smith, Ph.D., moved to St. Louis, Mo., in Jan. 1990. |They had $3.5 million! "
      "|\"Did they?\" |Yes, in the U.S. they did (see ch. 2). |So it goes.");
}
TEST(SentencesTest, German) {
  ExpectEachCut(
      {"Am 3. Oktober 1990 war es z. B. in Bonn, d. h. am Rhein. |Das 20. Jahrhundert endete. "
       "|Gem. § 5 Abs. 2 Nr. 3 gilt das. |Dr. Müller kam am 3. 10. 1990 um ca. 8 Uhr.",
       "Er wurde 1990. |Danach nicht mehr.", "Wir sahen Hrn. Meier bzw. Frau Klein. |Gut!"});
}
TEST(SentencesTest, French) {
  ExpectCuts(
      "M. Dupont et Mme. Durand sont là. |Où ? |Au p. 12, cf. Annexe. |« Oui. » |Elle part à 8 h "
      "30.");
}
TEST(SentencesTest, Spanish) {
  ExpectCuts(
      "El Sr. García y la Dra. López llegaron. |¿Quién? |¡Ellos! |Viven en EE. UU. desde 1990. "
      "|Véase p. ej. Cervantes.");
}
TEST(SentencesTest, Italian) {
  ExpectCuts(
      "Il dott. Rossi e il Sig. Bianchi sono qui. |Perché? |È tardi, cfr. Dante. |L'art. 5 vale.");
}
TEST(SentencesTest, Portuguese) {
  ExpectCuts("O Sr. Silva e a Dra. Souza chegaram. |Quem? |Não sei! |Veja a pág. 5. |É longo.");
}
TEST(SentencesTest, Russian) {
  ExpectCuts(
      "А. С. Пушкин родился в 1799 г. в Москве, т. е. давно. |Кто? |Он жил на ул. Садовой. "
      "|«Да!» |Это стоит 5 тыс. руб. за шт.");
}
TEST(SentencesTest, Polish) {
  ExpectCuts(
      "Prof. dr hab. Jan Kowalski mieszka przy ul. Długiej. |Gdzie? |W Warszawie, np. Na Woli. "
      "|Urodził się w 1950 r. w Łodzi.");
}
TEST(SentencesTest, Hindi) { ExpectCuts("यह एक वाक्य है। |यह दूसरा है। |क्या? |डॉ. शर्मा आए। |हाँ!"); }
TEST(SentencesTest, Arabic) {
  ExpectCuts("هذه جملة. |هل هذا سؤال؟ |نعم! |جاء د. محمد أمس. |انتهى الكلام.");
}
TEST(SentencesTest, Urdu) { ExpectCuts("یہ ایک جملہ ہے۔ |کیا یہ سوال ہے؟ |ہاں۔"); }
TEST(SentencesTest, Chinese) { ExpectCuts("这是一句。¦那是第二句！¦他说：“好。”¦为什么？¦结束"); }
TEST(SentencesTest, Japanese) {
  ExpectCuts("これは文です。¦次の文です！¦「はい。」¦そうですか？¦終わり");
}
TEST(SentencesTest, Korean) { ExpectCuts("이것은 문장입니다. |다음 문장입니다! |그래요? |네."); }
// Thai writes no full stop; only blank lines divide it.
TEST(SentencesTest, Thai) { ExpectCuts("นี่คือประโยคแรก และนี่คือประโยคที่สอง\n\n|นี่คือย่อหน้าใหม่"); }
TEST(SentencesTest, Greek) {
  ExpectCuts("Αυτή είναι μια πρόταση. |Είναι ερώτηση; |Ναι! |Ο κ. Παπαδόπουλος ήρθε, π.χ. Χθες.");
}
TEST(SentencesTest, Armenian) { ExpectCuts("Սա նախադասություն է։ |Սա երկրորդն է: |Ահա։"); }
TEST(SentencesTest, Dutch) {
  ExpectCuts("Dhr. Jansen en mevr. De Vries kwamen, d.w.z. Beiden. |Waarom? |Dat weet niemand.");
}
TEST(SentencesTest, Turkish) {
  ExpectCuts("Bu bir cümle. |Bu ikinci mi? |Evet! |Sn. Yılmaz geldi.");
}
TEST(SentencesTest, Amharic) { ExpectCuts("ይህ ዓረፍተ ነገር ነው። |ይህ ሁለተኛው ነው።"); }

// --- the machine ---

// Proves it where it runs alone, as under ctest: ICU asks for the locale once. Its Greek rules end
// sentences at every semicolon.
TEST(SentencesTest, NothingDependsOnTheLocaleOfTheMachine) {
  setenv("LC_ALL", "el_GR.UTF-8", 1);
  ExpectEachCut({"He came; She left.", "Είναι; |Ναι.", "Am 3. Oktober kam Dr. Wu. |Er ging."});
  unsetenv("LC_ALL");
}

TEST(SentencesTest, ThreadsFindTheSame) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "Dr. Smith came. He left (at 5 p.m.) again! ";
  const auto wanted = Sentences(text);
  std::vector<std::vector<std::string>> found(8);
  std::vector<std::thread> threads;
  for (auto& sentences : found) threads.emplace_back([&] { sentences = Sentences(text); });
  for (std::thread& thread : threads) thread.join();
  for (const auto& sentences : found) EXPECT_EQ(sentences, wanted);
}

TEST(SentencesTest, TheRulesAreLoadedOnce) {
  EXPECT_TRUE(LoadSentenceRules().ok());
  EXPECT_TRUE(LoadSentenceRules().ok());
}

TEST(AbbreviationsTest, AreIcusOfAllLanguages_AndOurs_LessOrdinaryWords) {
  const auto words = Abbreviations::Load();
  ASSERT_TRUE(words.ok()) << words.status();
  for (const char16_t* word :
       {u"Jahrh", u"Approx", u"Srtas", u"févr", u"avv", u"pág", u"янв", u"J.-C"})
    EXPECT_TRUE(words->IsAbbreviation(word)) << "ICU has it";
  EXPECT_TRUE(words->IsAbbreviation(u"BGBl")) << "ours";
  EXPECT_TRUE(words->NeverEnds(u"Vgl")) << "at the begin of a sentence";
  EXPECT_FALSE(words->NeverEnds(u"VGL"));
  for (const char16_t* word : {u"out", u"all", u"In", u"am", u"", u"Haus"})
    EXPECT_FALSE(words->IsAbbreviation(word));
}

}  // namespace
}  // namespace longspan
