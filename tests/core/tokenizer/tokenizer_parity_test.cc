// Ids and offsets of hard texts against those of the Python package, for every family of tokenizers
// in every form of folder. make_tokenizers.py has written the expected values to
// tests/fixtures/tokenizers.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "core/tokenizer/tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using json = nlohmann::json;

const std::string kFixtures = std::string(LONGSPAN_FIXTURES) + "/tokenizers/";

json ReadJson(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  return json::parse(file);
}

std::unique_ptr<Tokenizer> LoadOrDie(const std::string& folder) {
  auto tokenizer = Tokenizer::Load(folder);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

// Where each character of a UTF-8 text begins, and the text's end.
std::vector<int64_t> CharacterStarts(const std::string& text) {
  std::vector<int64_t> starts;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80)
      starts.push_back(static_cast<int64_t>(i));
  }
  starts.push_back(static_cast<int64_t>(text.size()));
  return starts;
}

std::vector<TextRange> Ranges(const json& flat) {
  std::vector<TextRange> ranges;
  for (size_t i = 0; i + 1 < flat.size(); i += 2)
    ranges.push_back({flat[i].get<int64_t>(), flat[i + 1].get<int64_t>()});
  return ranges;
}

// Ranges as the message of a test shows them: "0-1 1-3 ".
std::string Describe(const std::vector<TextRange>& ranges) {
  std::string text;
  for (const TextRange& range : ranges)
    text += std::to_string(range.begin) + "-" + std::to_string(range.end) + " ";
  return text;
}

void ExpectEqualsPython(const Tokenizer& tokenizer, const json& texts, const json& expected) {
  ASSERT_EQ(texts.size(), expected.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string text = texts[i];
    const auto got = tokenizer.Encode(text);
    ASSERT_TRUE(got.ok()) << texts[i] << got.status();
    EXPECT_EQ(got->ids, expected[i]["ids"].get<std::vector<int32_t>>()) << texts[i];
    const std::vector<TextRange> characters = Ranges(expected[i]["characters"]);
    EXPECT_EQ(Describe(got->characters), Describe(characters)) << texts[i];
    const std::vector<int64_t> starts = CharacterStarts(text);
    std::vector<TextRange> bytes;
    for (const TextRange& range : characters) {
      bytes.push_back(
          {starts.at(static_cast<size_t>(range.begin)), starts.at(static_cast<size_t>(range.end))});
    }
    EXPECT_EQ(Describe(got->bytes), Describe(bytes)) << texts[i];
    std::vector<uint8_t> special(got->ids.size(), 0);
    for (const auto& place : expected[i]["special"]) special[place.get<size_t>()] = 1;
    EXPECT_EQ(got->special, special) << texts[i];
  }
}

class TokenizerParityTest : public ::testing::TestWithParam<const char*> {};

TEST_P(TokenizerParityTest, HardTextsEqualThePythonPackage) {
  const std::string folder = kFixtures + GetParam();
  const auto tokenizer = LoadOrDie(folder);
  ASSERT_TRUE(tokenizer);
  ExpectEqualsPython(*tokenizer, ReadJson(kFixtures + "texts.json"),
                     ReadJson(folder + "/expected.json"));
}

TEST_P(TokenizerParityTest, PrefixAndSuffixStandAroundEveryText) {
  const auto tokenizer = LoadOrDie(kFixtures + GetParam());
  ASSERT_TRUE(tokenizer);
  for (const std::string text : {"", "Hello world", "\xE4\xBD\xA0\xE5\xA5\xBD"}) {
    const auto framed = tokenizer->Encode(text),
               bare = tokenizer->Encode(text, /*add_special_tokens=*/false);
    ASSERT_TRUE(framed.ok() && bare.ok());
    std::vector<int32_t> want = tokenizer->prefix_ids();
    want.insert(want.end(), bare->ids.begin(), bare->ids.end());
    want.insert(want.end(), tokenizer->suffix_ids().begin(), tokenizer->suffix_ids().end());
    EXPECT_EQ(framed->ids, want) << text;
    EXPECT_THAT(bare->special, ::testing::Each(0));
  }
}

TEST_P(TokenizerParityTest, NotUtf8IsAnErrorThatNamesTheByte) {
  const auto tokenizer = LoadOrDie(kFixtures + GetParam());
  ASSERT_TRUE(tokenizer);
  const std::pair<std::string, const char*> cases[] = {
      {"ab\xFFz", "byte 2 of 4 (0xFF)"},           // never part of UTF-8
      {"\xED\xA0\x80", "byte 0 of 3 (0xED)"},      // a lone surrogate
      {"x\xC0\x80", "byte 1 of 3 (0xC0)"},         // an overlong NUL
      {"abc\xE4\xBD", "byte 3 of 5 (0xE4)"},       // cut off
      {"\xF4\x90\x80\x80", "byte 0 of 4 (0xF4)"},  // beyond U+10FFFF
  };
  for (const auto& [text, what] : cases) {
    const auto got = tokenizer->Encode(text);
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(got.status().message()), HasSubstr(what));
  }
}

TEST_P(TokenizerParityTest, FourThreadsAtOnceGiveTheSerialIds) {
  const auto tokenizer = LoadOrDie(kFixtures + GetParam());
  ASSERT_TRUE(tokenizer);
  const std::vector<std::string> texts = ReadJson(kFixtures + "texts.json");
  std::vector<std::vector<int32_t>> want;
  for (const std::string& text : texts) want.push_back(tokenizer->Encode(text)->ids);
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < 4 * texts.size(); ++i) {
        const size_t at = (i + 13 * t) % texts.size();
        const auto got = tokenizer->Encode(texts[at]);
        wrong[t] += !got.ok() || got->ids != want[at];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, ::testing::Each(0));
}

INSTANTIATE_TEST_SUITE_P(Families, TokenizerParityTest,
                         ::testing::Values("roberta", "roberta-prefix-space", "modernbert",
                                           "bert-uncased", "bert-cased", "unigram", "metaspace-bpe",
                                           "byte-fallback-bpe"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(TokenizerTest, DecodeGivesTheTextBack) {
  for (const char* name : {"roberta", "modernbert", "byte-fallback-bpe"}) {
    const auto tokenizer = LoadOrDie(kFixtures + name);
    ASSERT_TRUE(tokenizer);
    const std::string text = "Hello world, it's \xE4\xBD\xA0\xE5\xA5\xBD!";
    EXPECT_EQ(tokenizer->Decode(tokenizer->Encode(text)->ids, /*skip_special_tokens=*/true).value(),
              text)
        << name;
  }
  const auto tokenizer = LoadOrDie(kFixtures + "roberta");
  EXPECT_EQ(tokenizer->Decode({0, 2}, /*skip_special_tokens=*/false).value(), "<s></s>");
  EXPECT_EQ(tokenizer->Decode({0, 2}, /*skip_special_tokens=*/true).value(), "");
  EXPECT_EQ(tokenizer->Decode({}, /*skip_special_tokens=*/true).value(), "");
  const std::string repeated(100000, 'e');  // longer than the first guess of the buffer, and back
  EXPECT_EQ(
      tokenizer->Decode(tokenizer->Encode(repeated)->ids, /*skip_special_tokens=*/true).value(),
      repeated);
}

TEST(TokenizerTest, IdsOutsideTheVocabularyAreErrors) {
  const auto tokenizer = LoadOrDie(kFixtures + "roberta");
  ASSERT_TRUE(tokenizer);
  const auto past_the_end = static_cast<int32_t>(tokenizer->vocab_size());
  EXPECT_EQ(tokenizer->TokenText(0).value(), "<s>");
  EXPECT_EQ(tokenizer->TokenText(past_the_end).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(tokenizer->Decode({0, past_the_end}, false).status().message()),
              HasSubstr("ids[1] is " + std::to_string(past_the_end)));
  EXPECT_THAT(std::string(tokenizer->Decode({-1}, false).status().message()),
              HasSubstr("ids[0] is -1"));
}

TEST(TokenizerTest, OffsetsOfAWordInTheMiddle) {
  const auto tokenizer = LoadOrDie(kFixtures + "bert-uncased");
  ASSERT_TRUE(tokenizer);
  // One character of three bytes, a blank, a word.
  const auto got = tokenizer->Encode("\xE4\xBD\xA0 world");
  ASSERT_TRUE(got.ok());
  ASSERT_EQ(got->ids.size(), 4u);
  EXPECT_EQ(got->bytes[2], (TextRange{4, 9}));
  EXPECT_EQ(got->characters[2], (TextRange{2, 7}));
}

// The published tokenizer of a model, from its package: as the tokenizer.json, which has truncation
// and padding at 128 switched on, and built from its vocab.txt alone.
TEST(PublishedTokenizerTest, MiniLmEqualsThePythonPackage) {
  const auto tokenizer = LoadOrDie(LONGSPAN_DENSE_MODEL);
  ASSERT_TRUE(tokenizer);
  EXPECT_EQ(tokenizer->vocab_size(), 30522);
  EXPECT_THAT(tokenizer->prefix_ids(), ElementsAre(101));
  EXPECT_THAT(tokenizer->suffix_ids(), ElementsAre(102));
  EXPECT_THAT(tokenizer->Encode("Hello world")->ids, ElementsAre(101, 7592, 2088, 102));
  const json texts = ReadJson(kFixtures + "texts.json"),
             expected = ReadJson(kFixtures + "all-MiniLM-L6-v2/expected.json");
  ExpectEqualsPython(*tokenizer, texts, expected);

  const TemporaryFolder folder;
  for (const char* name : {"vocab.txt", "tokenizer_config.json", "special_tokens_map.json"}) {
    std::filesystem::copy_file(std::filesystem::path(LONGSPAN_DENSE_MODEL) / name,
                               folder.path() + "/" + name,
                               std::filesystem::copy_options::overwrite_existing);
  }
  const auto built = LoadOrDie(folder.path());
  ASSERT_TRUE(built);
  ExpectEqualsPython(*built, texts, expected);
}

}  // namespace
}  // namespace longspan
