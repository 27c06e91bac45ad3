// A long text is tokenised in parts. Its ids, offsets and special flags are those that the crate
// gives for the whole text, for every family and for texts full of what might reach over a cut.
// tokenizer_memory_test asks what that takes.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/error_details.h"
#include "core/tokenizer/cut_rules.h"
#include "core/tokenizer/ffi/longspan_tokenizers.h"
#include "core/tokenizer/text_chunks.h"
#include "core/tokenizer/tokenizer.h"
#include "core/tokenizer/tokenizer_folder.h"
#include "core/tokenizer/tokenizer_json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace longspan {
namespace {

std::string Folder(const std::string& name) {
  return std::string(LONGSPAN_FIXTURES) + "/tokenizers/" + name;
}

// What the crate gives for the whole text, without Tokenizer::Encode.
Tokenization WholeByTheCrate(const std::string& folder, const std::string& text) {
  const auto files = ReadTokenizerFolder(folder);
  const TokenizerRecipe& recipe = files->recipe;
  const std::string components = recipe.components.is_null() ? "" : recipe.components.dump();
  longspan_tokenizers_tokenizer* tokenizer = nullptr;
  EXPECT_EQ(longspan_tokenizers_load(files->json.data(), files->json.size(), components.data(),
                                     components.size(), &tokenizer, {}),
            0);
  const std::string tokens = nlohmann::json(recipe.tokens).dump();
  EXPECT_EQ(longspan_tokenizers_add_tokens(tokenizer, tokens.data(), tokens.size(), {}), 0);
  if (recipe.post_processor) {
    const auto id_of = [&](const std::string& token) -> int64_t {
      int32_t id = -1;
      longspan_tokenizers_token_id(tokenizer, token.data(), token.size(), &id, {});
      return id;
    };
    const std::string processor = recipe.post_processor(id_of).dump();
    EXPECT_EQ(
        longspan_tokenizers_set_post_processor(tokenizer, processor.data(), processor.size(), {}),
        0);
  }
  longspan_tokenizers_encoding* encoding = nullptr;
  EXPECT_EQ(longspan_tokenizers_encode(tokenizer, text.data(), text.size(), 1, &encoding, {}), 0);
  const size_t n = longspan_tokenizers_encoding_size(encoding);
  Tokenization out;
  out.ids.resize(n);
  out.special.resize(n);
  out.bytes.resize(n);
  out.characters.resize(n);
  longspan_tokenizers_encoding_copy(
      encoding, {out.ids.data(), /*types=*/nullptr, out.special.data(), &out.bytes.front().begin,
                 &out.characters.front().begin});
  longspan_tokenizers_encoding_free(encoding);
  longspan_tokenizers_free(tokenizer);
  return out;
}

// A text of words of every kind between single blanks. It has many places to cut beside tokens that
// might reach over them.
std::string MixedText(size_t bytes, uint64_t seed) {
  const std::vector<std::string> words = {
      "the",   "Agreement", "shall", "it's",      "we'll", "naïve", "Ünïcode", "e\xCC\x81t\xC3\xA9",
      "12,50", "x2",        "\n",    "\n\n",      "  ",    "\t",    "你好",    "<mask>",
      "</s>",  "[SEP]",     "don't", "(whereas)", "A.B.",  "ﬁne",   "Σας",     "👩‍👧",
      "I",     "a",         "of",    "party",     "law",   "is"};
  std::mt19937_64 random(seed);
  std::string text;
  while (text.size() < bytes) {
    const size_t pick =
        random() % 3 == 0 ? random() % words.size() : words.size() - 1 - random() % 6;
    text += words[pick];
    if (random() % 16 != 0) text += ' ';
  }
  return text;
}

class TokenizerChunksTest : public ::testing::TestWithParam<const char*> {};

CutRules RulesOf(const std::string& name) { return (*Tokenizer::Load(Folder(name)))->cut_rules(); }

TEST_P(TokenizerChunksTest, PartsGiveTheTokensOfTheWhole) {
  const auto tokenizer = Tokenizer::Load(Folder(GetParam()));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const std::string text = MixedText(1'500'000, seed);
    const Tokenization whole = WholeByTheCrate(Folder(GetParam()), text);
    const auto parts = (*tokenizer)->Encode(text);
    ASSERT_TRUE(parts.ok()) << parts.status();
    ASSERT_EQ(parts->ids, whole.ids);
    ASSERT_TRUE(parts->bytes == whole.bytes);
    ASSERT_TRUE(parts->characters == whole.characters);
    ASSERT_EQ(parts->special, whole.special);
    // And one part at a time.
    Tokenization joined;
    size_t largest = 0;
    ASSERT_TRUE((*tokenizer)
                    ->EncodeByParts(text, true,
                                    [&](const Tokenization& part) {
                                      largest = std::max(largest, part.ids.size());
                                      const auto append = [](const auto& from, auto* to) {
                                        to->insert(to->end(), from.begin(), from.end());
                                      };
                                      append(part.ids, &joined.ids);
                                      append(part.bytes, &joined.bytes);
                                      append(part.characters, &joined.characters);
                                      append(part.special, &joined.special);
                                      return absl::OkStatus();
                                    })
                    .ok());
    ASSERT_EQ(joined.ids, whole.ids);
    ASSERT_TRUE(joined.bytes == whole.bytes);
    ASSERT_TRUE(joined.characters == whole.characters);
    ASSERT_EQ(joined.special, whole.special);
    if (RulesOf(GetParam()).Any()) {
      EXPECT_LT(largest, whole.ids.size() / 2);
    }
  }
}

TEST(TokenizerByPartsTest, AnErrorOfTheReader_EndsIt) {
  const auto tokenizer = Tokenizer::Load(Folder("bert-uncased"));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  int parts = 0;
  const absl::Status status =
      (*tokenizer)->EncodeByParts(MixedText(1'500'000, 1), true, [&](const Tokenization&) {
        return ++parts == 2 ? absl::CancelledError("enough") : absl::OkStatus();
      });
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(parts, 2);
}

INSTANTIATE_TEST_SUITE_P(Families, TokenizerChunksTest,
                         ::testing::Values("bert-uncased", "bert-cased", "roberta",
                                           "roberta-prefix-space", "modernbert", "unigram",
                                           "metaspace-bpe", "byte-fallback-bpe"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(CutRulesTest, AreKnownOfTheFamilies) {
  for (const char* name :
       {"bert-uncased", "bert-cased", "roberta", "roberta-prefix-space", "modernbert"}) {
    const CutRules rules = RulesOf(name);
    EXPECT_TRUE(rules.blanks && rules.line_breaks) << name;
    EXPECT_FALSE(rules.letters || rules.ascii_letters) << name;
    const bool bert = std::string_view(name).starts_with("bert");
    EXPECT_EQ(rules.bert_punctuation, bert) << name;
    EXPECT_EQ(rules.ideographs, bert) << name;
    EXPECT_EQ(rules.symbols, !bert) << name;
  }
  EXPECT_TRUE(RulesOf("metaspace-bpe").blanks);
  EXPECT_FALSE(RulesOf("metaspace-bpe").line_breaks);
  EXPECT_FALSE(RulesOf("byte-fallback-bpe").Any());  // merges may reach over a blank
}

// Whether `text` may be cut at "|", which is no part of it.
bool Allows(const CutRules& rules, std::string text) {
  const size_t at = text.find('|');
  text.erase(at, 1);
  return rules.Allow(text, at);
}

TEST(CutRulesTest, BlanksAndLineBreaksBetweenPlainCharacters) {
  CutRules rules;
  rules.blanks = rules.line_breaks = true;
  for (const char* text :
       {"a| b", "a|\nb", "1,| 2", "да| нет", "你|\n好", "é| è", "한| 국", "。|\n你", "ש| ל", "ก| ข",
        "x| (", "a|\tb", "😀a| b", "が| ん", "𠀀| 𠀁", "ﬁa| b"})
    EXPECT_TRUE(Allows(rules, text)) << text;
  for (const char* text : {"a|  b",
                           "a |b",
                           "a| \nb",
                           "|a b",
                           "a b|",
                           "a|b",
                           "a|\vb",
                           "a\xCC\x81| b",
                           "a| \xCC\x81",
                           "a| \xE2\x80\x8D",
                           "ﾞ| a",
                           "a| ﾞ",
                           "ำ| a",
                           "a| ำ",
                           "😀| a",
                           "a| 😀",
                           "ﬁ| a",
                           "a|\xC2\xA0"
                           "b",
                           "a|\r\nb",
                           "\xE1\x84\x80| a",
                           "a| \xE1\x85\xA1",
                           "a,|b",
                           "a| \xFF",
                           "\xE4\xBD| a",
                           "a|"})
    EXPECT_FALSE(Allows(rules, text)) << text;
  rules.letters = true;
  EXPECT_TRUE(Allows(rules, "да| нет"));
  EXPECT_FALSE(Allows(rules, "1| a"));
  rules.ascii_letters = true;
  EXPECT_TRUE(Allows(rules, "a| b"));
  EXPECT_FALSE(Allows(rules, "да| нет"));
  EXPECT_FALSE(Allows(CutRules(), "a| b"));
}

TEST(CutRulesTest, BordersOfPunctuationAndOfIdeographs) {
  CutRules bert;
  bert.bert_punctuation = bert.ideographs = true;
  for (const char* text :
       {"a|,b", ",|a", ".|!", "1|.5", "'|s", "it|'", "a|_", "你|好", "=|==", "a|= b"})
    EXPECT_TRUE(Allows(bert, text)) << text;
  for (const char* text : {"a|b", "1|2", "a|=\xCC\xB8", "a|=", "。|，", "你|a", "a|你", "你|，",
                           "あ|い", "你|\xCC\x81", "\uF900|\uF900", "a|\x01", ",|\xCC\x81", "a| b"})
    EXPECT_FALSE(Allows(bert, text)) << text;
  bert.word_neighbours = false;
  EXPECT_FALSE(Allows(bert, "a|_"));

  CutRules bytes;
  bytes.symbols = true;
  for (const char* text : {"a|,", ",|a", "1|.", ".|5", "你|，", "。|你", "é|!", "a|_", "?|я", "”|a",
                           "a|'", "1|'", "a|1", "1|я", "é|1"})
    EXPECT_TRUE(Allows(bytes, text)) << text;
  for (const char* text : {"a|b", "1|2", "'|s", "'|1", "'|'", ".|!", "你|好", "a\xCC\x81|,",
                           ",|\xCC\x81", "½|,", "a| ,", " |,a", "\xEF\xB8\x8F|,"})
    EXPECT_FALSE(Allows(bytes, text)) << text;
  bytes.word_neighbours = false;
  EXPECT_FALSE(Allows(bytes, "a|_"));
  EXPECT_FALSE(Allows(bytes, "a|1"));
  EXPECT_TRUE(Allows(bytes, "a|'"));
}

TEST(CutRulesTest, PlainLetters) {
  for (const char32_t c :
       {U'a', U'Z', U'À', U'ÿ', U'я', U'Ω', U'א', U'ع', U'あ', U'ア', U'가', U'힣', U'\u3400',
        U'\u4DB5', U'\u4E00', U'\u9FA5', U'\U00020000', U'\U0002A6D6'})
    EXPECT_TRUE(IsPlainLetter(c)) << static_cast<uint32_t>(c);
  // Signs among letters, marks, letters that normalisers take apart, jamo, letters of later
  // versions, modifier letters.
  for (const char32_t c :
       {U'@',      U'[',      U'0',      U'×',      U'÷',      U'\u0301', U'\u0149',
        U'\u0132', U'\u017F', U'\u0340', U'\u0E31', U'\u0E33', U'\u0958', U'\u1100',
        U'\u1161', U'\u11A8', U'\u212A', U'\u3099', U'\u309D', U'\u30FC', U'\u4DB6',
        U'\u9FA6', U'\uD7A4', U'\uF900', U'\uFB01', U'\uFF21', U'\uFF9E', U'\U0002A6D7'})
    EXPECT_FALSE(IsPlainLetter(c)) << static_cast<uint32_t>(c);
}

CutRules RulesWith(nlohmann::json components, const nlohmann::json& token = nullptr) {
  nlohmann::json document = {{"normalizer", components["normalizer"]},
                             {"pre_tokenizer", components["pre_tokenizer"]}};
  std::vector<nlohmann::json> tokens;
  if (!token.is_null()) tokens.push_back(token);
  return CutRulesOf(document, tokens, false);
}

nlohmann::json Token(const std::string& content, const std::vector<std::string>& flags = {}) {
  nlohmann::json token = {{"content", content},   {"lstrip", false},     {"rstrip", false},
                          {"single_word", false}, {"normalized", false}, {"special", false}};
  for (const std::string& flag : flags) token[flag] = true;
  return token;
}

const nlohmann::json kBert = {{"normalizer",
                               {{"type", "BertNormalizer"},
                                {"clean_text", true},
                                {"handle_chinese_chars", true},
                                {"strip_accents", nullptr},
                                {"lowercase", true}}},
                              {"pre_tokenizer", {{"type", "BertPreTokenizer"}}}};
const nlohmann::json kByteLevel = {{"normalizer", {{"type", "NFC"}}},
                                   {"pre_tokenizer",
                                    {{"type", "ByteLevel"},
                                     {"add_prefix_space", false},
                                     {"trim_offsets", true},
                                     {"use_regex", true}}}};

TEST(CutRulesTest, AddedTokensAreNeverCut) {
  const CutRules mask = RulesWith(kBert, Token("[MASK]"));
  EXPECT_TRUE(Allows(mask, "a|["));
  EXPECT_FALSE(Allows(mask, "[|MASK]"));
  EXPECT_FALSE(Allows(mask, "[MASK|]"));
  EXPECT_TRUE(Allows(mask, "]|["));
  EXPECT_FALSE(Allows(RulesWith(kBert, Token("x y")), "x| y"));
  EXPECT_FALSE(Allows(RulesWith(kBert, Token("你好")), "你|好"));
  EXPECT_TRUE(Allows(RulesWith(kBert, Token("你好")), "好|你"));
  // In any case of letters, where the token is normalised.
  EXPECT_FALSE(Allows(RulesWith(kBert, Token("a.B", {"normalized"})), "A|.b"));
  EXPECT_TRUE(Allows(RulesWith(kBert, Token("a.B")), "A|.b"));
  // Another normal form than is known here.
  EXPECT_FALSE(RulesWith(kBert, Token("é.", {"normalized"})).Any());
  EXPECT_FALSE(RulesWith(kBert, Token("a b", {"normalized"})).Any());
  EXPECT_FALSE(RulesWith(kBert, Token("  ", {"normalized"})).Any());
  EXPECT_TRUE(RulesWith(kByteLevel, Token("  ", {"normalized"})).blanks);
  EXPECT_FALSE(RulesWith(kByteLevel, nlohmann::json("no object")).Any());
}

// ByteLevel with a prefix: "a" of "<s>a" is a piece of its own.
TEST(CutRulesTest, APrefixedPieceReachesTwoCharactersBack) {
  nlohmann::json components = kByteLevel;
  components["pre_tokenizer"]["add_prefix_space"] = true;
  const CutRules rules = RulesWith(components, Token("<s>"));
  for (const char* text : {"ba|,", " a|,", "\na| b", "яа| b"})
    EXPECT_TRUE(Allows(rules, text)) << text;
  for (const char* text : {"<s>a|,", "<s>a| b", "a|,",
                           "\xCC\x81"
                           "a|,",
                           "\x01"
                           "a|,"})
    EXPECT_FALSE(Allows(rules, text)) << text;
  EXPECT_FALSE(Allows(RulesWith(components, Token("<s>", {"rstrip"})), "<s> a|,"));
  EXPECT_TRUE(Allows(RulesWith(kByteLevel, Token("<s>")), "<s>a|,"));
}

TEST(CutRulesTest, TokensThatLookAtTheirNeighbours) {
  const CutRules left = RulesWith(kByteLevel, Token("<mask>", {"lstrip"}));
  EXPECT_TRUE(Allows(left, "a| b"));
  EXPECT_FALSE(Allows(left, "a| <mask>"));
  EXPECT_TRUE(Allows(left, "a|<"));
  const CutRules right = RulesWith(kByteLevel, Token("<mask>", {"rstrip"}));
  EXPECT_FALSE(Allows(right, "<mask>| a"));
  EXPECT_TRUE(Allows(right, "a| <mask>"));
  EXPECT_FALSE(RulesWith(kByteLevel, Token("你", {"lstrip"})).Any());
  EXPECT_FALSE(RulesWith(kByteLevel, Token("ab", {"lstrip", "normalized"})).Any());
  EXPECT_TRUE(RulesWith(kByteLevel, Token("<a>", {"lstrip", "normalized"})).ascii_letters);

  const CutRules word = RulesWith(kByteLevel, Token("doc", {"single_word"}));
  EXPECT_TRUE(Allows(word, "doc|,"));
  EXPECT_FALSE(Allows(word, "doc|_"));
  const CutRules sign = RulesWith(kByteLevel, Token("doc.", {"single_word"}));
  EXPECT_FALSE(Allows(sign, ".|x"));
  EXPECT_TRUE(Allows(sign, "x| y"));
  EXPECT_FALSE(RulesWith(kBert, Token("你", {"single_word"})).ideographs);
}

TEST(CutRulesTest, ComponentsThatReachFurtherAllowLess) {
  const auto with = [](nlohmann::json components, const char* part, nlohmann::json value) {
    components[part] = std::move(value);
    return RulesWith(components);
  };
  const nlohmann::json lower = {{"type", "Lowercase"}};
  EXPECT_FALSE(with(kByteLevel, "normalizer", lower).symbols);
  EXPECT_FALSE(with(kByteLevel, "normalizer", {{"type", "NFD"}}).symbols);
  EXPECT_FALSE(with(kByteLevel, "normalizer", {{"type", "NFKC"}}).symbols);
  EXPECT_TRUE(with(kByteLevel, "normalizer", nullptr).symbols);
  EXPECT_TRUE(with(kByteLevel, "normalizer", {{"type", "NFKC"}}).blanks);
  EXPECT_FALSE(with(kByteLevel, "normalizer", {{"type", "Prepend"}, {"prepend", "x"}}).Any());
  EXPECT_FALSE(CutRulesOf({{"pre_tokenizer", kByteLevel["pre_tokenizer"]}}, {}, true).symbols);
  const nlohmann::json no_regex = {{"type", "ByteLevel"}, {"use_regex", false}};
  EXPECT_FALSE(with(kByteLevel, "pre_tokenizer", no_regex).Any());
  const nlohmann::json split = {{"type", "Split"},
                                {"pattern", {{"Regex", "x"}}},
                                {"behavior", "Isolated"},
                                {"invert", false}};
  EXPECT_FALSE(with(kByteLevel, "pre_tokenizer", split).Any());
  const nlohmann::json digits = {
      {"type", "Sequence"},
      {"pretokenizers",
       {{{"type", "Digits"}, {"individual_digits", true}}, kByteLevel["pre_tokenizer"]}}};
  EXPECT_TRUE(with(kByteLevel, "pre_tokenizer", digits).letters);
  EXPECT_FALSE(with(kByteLevel, "pre_tokenizer", digits).symbols);
  const nlohmann::json metaspace = {{"type", "Metaspace"}, {"replacement", "▁"}};
  EXPECT_FALSE(with(kBert, "pre_tokenizer", metaspace).line_breaks);
  EXPECT_FALSE(with(kBert, "pre_tokenizer", metaspace).bert_punctuation);
  EXPECT_FALSE(with(kBert, "pre_tokenizer", nullptr).Any());
  nlohmann::json latin = kBert;
  latin["normalizer"]["handle_chinese_chars"] = false;
  EXPECT_FALSE(RulesWith(latin).ideographs);
  EXPECT_TRUE(RulesWith(latin).bert_punctuation);
}

CutRules OnlyBlanks() {
  CutRules rules;
  rules.blanks = true;
  return rules;
}

TEST(TextChunksTest, PartsCoverTheText_EachWithALead) {
  std::string text;
  while (text.size() < 10'000) text += "aa bb, cc dd éé ff ";
  const auto chunks = CutText(text, OnlyBlanks(), {.chunk_bytes = 100, .longest_uncut = 1000});
  ASSERT_TRUE(chunks.ok()) << chunks.status();
  ASSERT_GE(chunks->size(), 95u);
  EXPECT_EQ(chunks->front().begin, 0u);
  for (size_t i = 0; i < chunks->size(); ++i) {
    const TextChunk& chunk = (*chunks)[i];
    EXPECT_EQ(chunk.end, i + 1 < chunks->size() ? (*chunks)[i + 1].begin : text.size());
    EXPECT_LE(chunk.end - chunk.begin, 200u);
    if (i == 0) continue;
    EXPECT_TRUE(OnlyBlanks().Allow(text, chunk.begin));
    EXPECT_GE(chunk.begin - chunk.lead, 64u);
    EXPECT_LE(chunk.begin - chunk.lead, 67u);
    EXPECT_NE(static_cast<uint8_t>(text[chunk.lead]) & 0xC0, 0x80);
  }
}

TEST(TextChunksTest, AStretchWithoutAPlaceIsOnePart_UpToItsLimit) {
  const ChunkSizes sizes = {.chunk_bytes = 100, .longest_uncut = 1000};
  const auto parts = [&](const std::string& text) {
    const auto chunks = CutText(text, OnlyBlanks(), sizes);
    return chunks.ok() ? chunks->size() : 0;
  };
  EXPECT_EQ(parts(""), 1u);
  EXPECT_EQ(parts(std::string(1000, 'x')), 1u);
  EXPECT_EQ(parts(std::string(1001, 'x')), 0u);
  EXPECT_EQ(parts(std::string(1000, 'x') + " " + std::string(1000, 'y')), 0u);
  EXPECT_EQ(parts(std::string(1000, 'x') + " " + std::string(999, 'y')), 2u);
  EXPECT_EQ(parts("a b " + std::string(1000, 'y')), 0u);
  EXPECT_EQ(parts("a b " + std::string(999, 'y')), 2u);
}

TEST(TextChunksTest, ARefusalNamesWhatItGotAndWhatIsAllowed) {
  const std::string text = "some words" + std::string(5000, 'x') + " more words";
  const auto chunks = CutText(text, OnlyBlanks(), {.chunk_bytes = 100, .longest_uncut = 1000});
  EXPECT_EQ(chunks.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(chunks.status().message(),
            "has 5006 bytes from byte 4 on without a place where the text can be cut, such as a "
            "blank between two words; allowed: at most 1000");
  EXPECT_EQ(LimitOf(chunks.status()), "max_uncut_bytes");
}

// What might reach over a cut, and what a cut might be taken for.
const std::vector<std::string>& Snippets() {
  static const auto* all = new std::vector<std::string>{"a",
                                                        "b",
                                                        "the",
                                                        "Law",
                                                        "doc",
                                                        "x2",
                                                        "12",
                                                        "3",
                                                        "é",
                                                        "e\xCC\x81",
                                                        "İ",
                                                        "Σας",
                                                        "ΟΔΟΣ",
                                                        "ſ",
                                                        "ŉ",
                                                        "ﬁ",
                                                        "Ａ",
                                                        "ａ",
                                                        "！",
                                                        "，",
                                                        "。",
                                                        "、",
                                                        "「",
                                                        "я",
                                                        "нет",
                                                        "Й",
                                                        "И\xCC\x86",
                                                        "א",
                                                        "ש\xD7\xBC",
                                                        "ع",
                                                        "क",
                                                        "क\xE0\xA4\xBC",
                                                        "\xE0\xA5\x98",
                                                        "ก",
                                                        "ำ",
                                                        "か",
                                                        "か\xE3\x82\x99",
                                                        "が",
                                                        "ｶﾞ",
                                                        "ー",
                                                        "你",
                                                        "好",
                                                        "法律",
                                                        "\xEF\xA4\x80",
                                                        "𠀀",
                                                        "鿿",
                                                        "가",
                                                        "한국",
                                                        "\xE1\x84\x80\xE1\x85\xA1",
                                                        "가\xE1\x86\xA8",
                                                        "👩\xE2\x80\x8D👧",
                                                        "😀",
                                                        "\xE2\x80\x8D",
                                                        "\xE2\x80\x8B",
                                                        "\xEF\xB8\x8F",
                                                        "\xCC\x81",
                                                        "\xCC\xB8",
                                                        "\xCC\xA3\xCC\x87",
                                                        "\xCD\x84",
                                                        "\xC2\xA0",
                                                        "\xE3\x80\x80",
                                                        "\xC2\xAD",
                                                        "\xEF\xBF\xBD",
                                                        "½",
                                                        "²",
                                                        "Ω",
                                                        "K",
                                                        "º",
                                                        "¡",
                                                        "·",
                                                        "…",
                                                        "“",
                                                        "”",
                                                        "’",
                                                        "—",
                                                        "§",
                                                        "«",
                                                        " ",
                                                        " ",
                                                        " ",
                                                        " ",
                                                        "  ",
                                                        "   ",
                                                        "\n",
                                                        "\n",
                                                        "\n\n",
                                                        "\t",
                                                        "\r\n",
                                                        "\r",
                                                        "\x0B",
                                                        "\x01",
                                                        "\x7F",
                                                        ".",
                                                        ",",
                                                        ";",
                                                        "?",
                                                        "!",
                                                        "-",
                                                        "_",
                                                        "'",
                                                        "'",
                                                        "\"",
                                                        "=",
                                                        "<",
                                                        ">",
                                                        "(",
                                                        ")",
                                                        "[",
                                                        "]",
                                                        "/",
                                                        "#",
                                                        "*",
                                                        "`",
                                                        "~",
                                                        "^",
                                                        "|",
                                                        "'s",
                                                        "'t",
                                                        "'re",
                                                        "'ll",
                                                        "n't",
                                                        "'S",
                                                        "s",
                                                        "t",
                                                        "re",
                                                        "ll",
                                                        "[MASK]",
                                                        "[SEP]",
                                                        "[CLS]",
                                                        "<mask>",
                                                        "<s>",
                                                        "</s>",
                                                        "<doc>",
                                                        "[mask]",
                                                        "MASK",
                                                        "mask>",
                                                        "▁",
                                                        "##",
                                                        "Ġ"};
  return *all;
}

std::string TextOfSnippets(size_t bytes, std::mt19937_64* random,
                           const std::vector<std::string>& more = {}) {
  std::string text;
  // Some texts are of few snippets, so that these meet often.
  const size_t kinds = (*random)() % 2 == 0 ? Snippets().size() : 2 + (*random)() % 8;
  std::vector<std::string> chosen = more;
  for (size_t i = 0; i < kinds; ++i) chosen.push_back(Snippets()[(*random)() % Snippets().size()]);
  while (text.size() < bytes) text += chosen[(*random)() % chosen.size()];
  return text;
}

// The tokens of the text in one piece are those in parts of any size.
void ExpectPartsEqualTheWhole(const Tokenizer& tokenizer, const std::string& text, size_t bytes) {
  constexpr size_t kAny = std::numeric_limits<size_t>::max();
  const auto whole = tokenizer.Encode(text, true, {}, {.chunk_bytes = kAny});
  const auto parts =
      tokenizer.Encode(text, true, {}, {.chunk_bytes = bytes, .longest_uncut = kAny});
  ASSERT_EQ(whole.ok(), parts.ok()) << whole.status() << parts.status();
  if (!whole.ok()) return;
  const auto show = [&] {
    const size_t n = std::min(parts->ids.size(), whole->ids.size());
    size_t first = 0;
    while (first < n && parts->ids[first] == whole->ids[first]) ++first;
    return "in parts of " + std::to_string(bytes) + ", different from byte " +
           std::to_string(first < n ? whole->bytes[first].begin : -1) + " on: " + text;
  };
  ASSERT_TRUE(parts->ids == whole->ids) << show();
  ASSERT_TRUE(parts->bytes == whole->bytes) << show();
  ASSERT_TRUE(parts->characters == whole->characters) << show();
  ASSERT_EQ(parts->special, whole->special) << show();
}

TEST_P(TokenizerChunksTest, TinyPartsGiveTheTokensOfTheWhole) {
  const auto tokenizer = Tokenizer::Load(Folder(GetParam()));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  size_t cuts = 0;
  for (uint64_t seed = 1; seed <= 1500; ++seed) {
    std::mt19937_64 random(seed);
    const std::string text = TextOfSnippets(20 + random() % 200, &random);
    ExpectPartsEqualTheWhole(**tokenizer, text, 1 + random() % 8);
    if (HasFatalFailure()) FAIL() << "seed " << seed;
    cuts += CutText(text, (*tokenizer)->cut_rules(), {.chunk_bytes = 1})->size() - 1;
  }
  if ((*tokenizer)->cut_rules().Any()) {
    EXPECT_GT(cuts, 500u);
  }
}

// A tokenizer of the components and added tokens given, with the vocabulary of a fixture.
absl::StatusOr<std::unique_ptr<Tokenizer>> Made(const std::string& fixture,
                                                const nlohmann::json& components,
                                                const std::vector<nlohmann::json>& tokens) {
  nlohmann::json document = nlohmann::json::parse(ReadTokenizerFolder(Folder(fixture))->json);
  document.update(components);
  int64_t next = document["model"]["vocab"].size();
  for (const auto& token : document["added_tokens"])
    next = std::max(next, token["id"].get<int64_t>() + 1);
  for (nlohmann::json token : tokens) {
    token["id"] = next++;
    document["added_tokens"].push_back(std::move(token));
  }
  const std::string folder = testing::TempDir() + "/made_" + std::to_string(getpid());
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/tokenizer.json") << document.dump();
  auto tokenizer = Tokenizer::Load(folder);
  std::filesystem::remove_all(folder);
  return tokenizer;
}

// Normalisers, pre-tokenisers and added tokens in random company.
TEST(MadeTokenizersTest, TinyPartsGiveTheTokensOfTheWhole) {
  const auto of = [](const char* type) { return nlohmann::json{{"type", type}}; };
  const std::vector<nlohmann::json> normalizers = {
      nullptr,    nullptr,         kBert["normalizer"], kBert["normalizer"],
      of("NFC"),  of("NFC"),       of("NFD"),           of("NFKC"),
      of("NFKD"), of("Lowercase"), of("Nmt"),           of("StripAccents")};
  nlohmann::json prefixed = kByteLevel["pre_tokenizer"];
  prefixed["add_prefix_space"] = true;
  nlohmann::json digits = of("Digits");
  digits["individual_digits"] = true;
  nlohmann::json punctuation = of("Punctuation");
  punctuation["behavior"] = "MergedWithNext";
  const nlohmann::json metaspace = {{"type", "Metaspace"}, {"replacement", "▁"}};
  const auto steps = [](const std::vector<nlohmann::json>& list) {
    return nlohmann::json{{"type", "Sequence"}, {"pretokenizers", list}};
  };
  const std::vector<nlohmann::json> of_words = {of("BertPreTokenizer"),
                                                of("BertPreTokenizer"),
                                                of("BertPreTokenizer"),
                                                of("Whitespace"),
                                                of("WhitespaceSplit"),
                                                metaspace,
                                                steps({of("WhitespaceSplit"), metaspace}),
                                                steps({digits, of("Whitespace")}),
                                                steps({punctuation, of("WhitespaceSplit")})};
  const std::vector<nlohmann::json> of_bytes = {
      kByteLevel["pre_tokenizer"], kByteLevel["pre_tokenizer"],   prefixed, prefixed,
      steps({digits, prefixed}),   steps({punctuation, prefixed})};
  const std::vector<std::string> contents = {
      "a b",  "a,", ",a", "doc",  "a",  "[X]", "<x>",  "x2", ".",   "..", "a.b",
      "你好", "你", "好", "a'",   "'s", " ",   "  ",   "\n", "a\n", "_",  "a_",
      "_a",   "é",  "E.", "it's", "12", "。",  "，你", "s",  "b "};
  int with_cuts = 0;
  for (uint64_t seed = 1; seed <= 1000; ++seed) {
    std::mt19937_64 random(seed);
    const auto one_of = [&](const auto& list) { return list[random() % list.size()]; };
    const bool bytes = random() % 2 == 0;
    nlohmann::json normalizer = {{"type", "Sequence"}, {"normalizers", nlohmann::json::array()}};
    for (size_t i = random() % 3; i > 0; --i) {
      const nlohmann::json step = one_of(normalizers);
      if (!step.is_null()) normalizer["normalizers"].push_back(step);
    }
    if (normalizer["normalizers"].empty()) normalizer = nullptr;
    const bool trims = random() % 2 == 0;
    const nlohmann::json trimming = {
        {"type", "ByteLevel"}, {"add_prefix_space", random() % 2 == 0}, {"trim_offsets", true}};
    std::vector<nlohmann::json> tokens;
    std::vector<std::string> of_tokens;
    for (size_t i = random() % 3; i > 0; --i) {
      const std::string content = one_of(contents);
      if (std::find(of_tokens.begin(), of_tokens.end(), content) != of_tokens.end()) continue;
      std::vector<std::string> flags;
      for (const char* flag : {"lstrip", "rstrip", "single_word", "normalized"})
        if (random() % 3 == 0) flags.emplace_back(flag);
      tokens.push_back(Token(content, flags));
      of_tokens.push_back(content);
    }
    const auto tokenizer = Made(bytes ? "modernbert" : "bert-cased",
                                {{"normalizer", normalizer},
                                 {"pre_tokenizer", one_of(bytes ? of_bytes : of_words)},
                                 {"post_processor", trims ? trimming : nlohmann::json()}},
                                tokens);
    // A token that the vocabulary has already keeps another id than the file gives it.
    if (!tokenizer.ok()) continue;
    with_cuts += (*tokenizer)->cut_rules().Any() ? 1 : 0;
    for (int i = 0; i < 25; ++i) {
      const std::string text = TextOfSnippets(20 + random() % 150, &random, of_tokens);
      ExpectPartsEqualTheWhole(**tokenizer, text, 1 + random() % 4);
      if (HasFatalFailure()) {
        FAIL() << "seed " << seed << " normalizer " << normalizer << " tokens "
               << nlohmann::json(tokens);
      }
    }
  }
  EXPECT_GT(with_cuts, 100);
}

}  // namespace
}  // namespace longspan
