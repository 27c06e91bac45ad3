// The forms in which a model folder may hold its tokenizer, and the errors of those that cannot be
// used.
#include <string>

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

// Each test has a model folder of its own.
class TokenizerFolderTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) { temporary_.WriteText(name, text); }
  void WriteVocabularyText() {
    Write("vocab.txt",
          "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nworld\n##s\nHello\n\xC3\xA9t\xC3\xA9\nete\n");
  }
  void WriteByteLevel() {
    Write("vocab.json",
          R"({"<s>":0,"<pad>":1,"</s>":2,"<unk>":3,"<mask>":4,"h":5,"i":6,"Ġ":7,"hi":8,"Ġhi":9})");
    Write("merges.txt", "#version: 0.2\nh i\nĠ hi\n");
  }
  absl::StatusOr<std::unique_ptr<Tokenizer>> Load() const {
    return Tokenizer::Load(temporary_.path());
  }
  std::vector<int32_t> Ids(const std::string& text) const {
    const auto tokenizer = Load();
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    if (!tokenizer.ok()) return {};
    const auto encoded = (*tokenizer)->Encode(text);
    EXPECT_TRUE(encoded.ok()) << encoded.status();
    return encoded.ok() ? encoded->ids : std::vector<int32_t>{};
  }
  std::string LoadError(absl::StatusCode code) const {
    const auto tokenizer = Load();
    EXPECT_FALSE(tokenizer.ok());
    EXPECT_EQ(tokenizer.status().code(), code) << tokenizer.status();
    return std::string(tokenizer.status().message());
  }

  TemporaryFolder temporary_;
};

// A small tokenizer.json with a WordPiece model; tests replace parts of it.
json SmallTokenizer() {
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", {{"type", "WhitespaceSplit"}}},
          {"post_processor", nullptr},
          {"decoder", nullptr},
          {"model",
           {{"type", "WordLevel"},
            {"unk_token", "?"},
            {"vocab", {{"?", 0}, {"a", 1}, {"b", 2}, {"A", 3}}}}}};
}

TEST_F(TokenizerFolderTest, VocabularyText_IsBertUncasedByDefault) {
  WriteVocabularyText();
  EXPECT_THAT(Ids("Hello Worlds"), ElementsAre(2, 5, 6, 7, 3));
  EXPECT_THAT(Ids("\xC3\x89t\xC3\xA9"), ElementsAre(2, 10, 3));  // accents go with lower case
  const auto tokenizer = Load();
  EXPECT_THAT((*tokenizer)->prefix_ids(), ElementsAre(2));
  EXPECT_THAT((*tokenizer)->suffix_ids(), ElementsAre(3));
  EXPECT_EQ((*tokenizer)->vocab_size(), 11);
}

TEST_F(TokenizerFolderTest, VocabularyText_TakesTheFlagsOfTokenizerConfig) {
  WriteVocabularyText();
  Write("tokenizer_config.json",
        R"({"do_lower_case": false, "tokenizer_class": "BertTokenizerFast"})");
  EXPECT_THAT(Ids("Hello hello"), ElementsAre(2, 8, 5, 3));
  Write("tokenizer_config.json", R"({"do_lower_case": true, "strip_accents": false})");
  EXPECT_THAT(Ids("\xC3\x89T\xC3\x89"), ElementsAre(2, 9, 3));
}

// A cache of which a part was not fetched: the file's name is there, as a link to nothing. Another
// tokenizer file beside it must not take its place.
TEST_F(TokenizerFolderTest, ALinkToNothing_IsNotTakenForAnAbsentFile) {
  WriteVocabularyText();
  std::filesystem::create_symlink("../blobs/0", temporary_.path() + "/tokenizer.json");
  EXPECT_THAT(LoadError(absl::StatusCode::kInvalidArgument),
              HasSubstr("tokenizer.json: is a link to ../blobs/0, which does not exist"));
}

TEST_F(TokenizerFolderTest, VocabularyText_TakesLinesWithCarriageReturns) {
  Write("vocab.txt", "[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\n[MASK]\r\nhello");
  EXPECT_THAT(Ids("hello"), ElementsAre(2, 5, 3));
}

TEST_F(TokenizerFolderTest, VocabularyText_SpecialTokensMapWins) {
  Write("vocab.txt", "<pad>\n<unk>\n<s>\n</s>\nhello\n");
  Write("tokenizer_config.json",
        R"({"cls_token": "[CLS]", "sep_token": "</s>", "unk_token": "<unk>"})");
  Write("special_tokens_map.json", R"({"cls_token": {"content": "<s>", "lstrip": false}})");
  EXPECT_THAT(Ids("hello <s> x"), ElementsAre(2, 4, 2, 1, 3));
}

TEST_F(TokenizerFolderTest, VocabularyText_WithoutSeparatorIsAnError) {
  Write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n");
  EXPECT_THAT(LoadError(absl::StatusCode::kInvalidArgument),
              HasSubstr("lacks \"[SEP]\", the sep_token"));
}

TEST_F(TokenizerFolderTest, VocabularyAndMerges_IsRoberta) {
  WriteByteLevel();
  EXPECT_THAT(Ids("hi hi"), ElementsAre(0, 8, 9, 2));
  EXPECT_THAT(Ids(" hi"), ElementsAre(0, 9, 2));
  EXPECT_THAT(Ids("hi <mask>hi"), ElementsAre(0, 8, 7, 4, 8, 2));
  EXPECT_THAT(Ids("hxi"),
              ElementsAre(0, 8, 2));  // bytes outside the vocabulary are dropped before merging
  const auto tokenizer = Load();
  EXPECT_THAT((*tokenizer)->prefix_ids(), ElementsAre(0));
  EXPECT_THAT((*tokenizer)->suffix_ids(), ElementsAre(2));
}

TEST_F(TokenizerFolderTest, VocabularyAndMerges_PrefixSpaceOfTokenizerConfig) {
  WriteByteLevel();
  Write("tokenizer_config.json",
        R"({"add_prefix_space": true, "tokenizer_class": "LongformerTokenizer"})");
  EXPECT_THAT(Ids("hi"), ElementsAre(0, 9, 2));
}

TEST_F(TokenizerFolderTest, VocabularyAndMerges_AMaskWithRulesSwallowsBlanks) {
  WriteByteLevel();
  Write("special_tokens_map.json", R"({"mask_token": {"content": "<mask>", "lstrip": true}})");
  EXPECT_THAT(Ids("hi <mask>hi"), ElementsAre(0, 8, 4, 8, 2));
}

TEST_F(TokenizerFolderTest, VocabularyAndMerges_AddedTokensFile) {
  WriteByteLevel();
  Write("added_tokens.json", R"({"<doc>": 10})");
  EXPECT_THAT(Ids("hi<doc>hi"), ElementsAre(0, 8, 10, 8, 2));
  Write("added_tokens.json", R"({"<doc>": 12})");
  EXPECT_THAT(LoadError(absl::StatusCode::kInvalidArgument),
              HasSubstr("\"<doc>\" should have id 12, but its place in the vocabulary is 10"));
}

TEST_F(TokenizerFolderTest, VocabularyAndMerges_BadLinesAreNamed) {
  WriteByteLevel();
  Write("merges.txt", "#version: 0.2\nh i\nbroken\n");
  EXPECT_THAT(LoadError(absl::StatusCode::kInvalidArgument),
              HasSubstr("merges.txt: line 3 is not two symbols"));
  Write("merges.txt", "h z\n");
  EXPECT_THAT(LoadError(absl::StatusCode::kInvalidArgument), HasSubstr("z"));
  WriteByteLevel();
  Write("vocab.json", R"({"<s>": -1})");
  EXPECT_THAT(LoadError(absl::StatusCode::kInvalidArgument), HasSubstr("token \"<s>\" has no id"));
}

TEST_F(TokenizerFolderTest, VocabularyFiles_OfAnotherClassAreRefused) {
  WriteByteLevel();
  Write("tokenizer_config.json", R"({"tokenizer_class": "GPT2Tokenizer"})");
  EXPECT_THAT(LoadError(absl::StatusCode::kUnimplemented),
              HasSubstr("GPT2Tokenizer cannot be built from vocabulary files"));
}

TEST_F(TokenizerFolderTest, MissingFilesSayWhatIsMissing) {
  EXPECT_THAT(LoadError(absl::StatusCode::kNotFound), HasSubstr("no tokenizer files"));
  Write("vocab.json", "{}");
  EXPECT_THAT(LoadError(absl::StatusCode::kInvalidArgument),
              HasSubstr("has vocab.json but no merges.txt"));
}

TEST_F(TokenizerFolderTest, SentencePieceAloneSaysHowToConvert) {
  Write("spiece.model", "x");
  const std::string error = LoadError(absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(error, HasSubstr("spiece.model"));
  EXPECT_THAT(error, HasSubstr("save_pretrained"));
}

TEST_F(TokenizerFolderTest, TokenizerJson_WinsOverVocabularyFiles) {
  WriteVocabularyText();
  Write("tokenizer.json", SmallTokenizer().dump());
  EXPECT_THAT(Ids("a b"), ElementsAre(1, 2));
}

TEST_F(TokenizerFolderTest, TokenizerJson_LiesInTheTransformersModule) {
  Write(
      "modules.json",
      R"([{"idx": 0, "name": "0", "path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
                            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])");
  Write("0_Transformer/tokenizer.json", SmallTokenizer().dump());
  EXPECT_THAT(Ids("a b"), ElementsAre(1, 2));
}

TEST_F(TokenizerFolderTest, TruncationAndPaddingAreOff) {
  json file = SmallTokenizer();
  file["truncation"] = {
      {"direction", "Right"}, {"max_length", 1}, {"strategy", "LongestFirst"}, {"stride", 0}};
  file["padding"] = {{"strategy", {{"Fixed", 8}}},
                     {"direction", "Right"},
                     {"pad_to_multiple_of", nullptr},
                     {"pad_id", 0},
                     {"pad_type_id", 0},
                     {"pad_token", "?"}};
  Write("tokenizer.json", file.dump());
  EXPECT_THAT(Ids("a b a"), ElementsAre(1, 2, 1));
}

TEST_F(TokenizerFolderTest, DropoutIsOff) {
  WriteByteLevel();
  json file = SmallTokenizer();
  file["pre_tokenizer"] = nullptr;
  file["model"] = {{"type", "BPE"},
                   {"dropout", 0.99},
                   {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}}},
                   {"merges", {"a b"}}};
  Write("tokenizer.json", file.dump());
  // The merges above are in the old form, each as one string.
  EXPECT_THAT(Ids("abababab"), ElementsAre(2, 2, 2, 2));
}

TEST_F(TokenizerFolderTest, LowerCaseOfSentenceBertConfigComesFirst) {
  Write("tokenizer.json", SmallTokenizer().dump());
  EXPECT_THAT(Ids("A"), ElementsAre(3));
  Write("sentence_bert_config.json", R"({"max_seq_length": 8, "do_lower_case": true})");
  // The library does not read the file where no modules.json names the folder.
  EXPECT_THAT(LoadError(absl::StatusCode::kInvalidArgument), HasSubstr("\"do_lower_case\""));
  Write("modules.json",
        R"([{"name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}])");
  EXPECT_THAT(Ids("A"), ElementsAre(1));
  json file = SmallTokenizer();
  file["normalizer"] = {{"type", "Sequence"},
                        {"normalizers", {{{"type", "NFC"}}, {{"type", "Lowercase"}}}}};
  Write("tokenizer.json", file.dump());
  EXPECT_THAT(Ids("A"), ElementsAre(1));
}

TEST_F(TokenizerFolderTest, UnknownComponentsAreNamed) {
  for (const char* key : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
    json file = SmallTokenizer();
    file[key] = {{"type", "Quantum"}};
    Write("tokenizer.json", file.dump());
    EXPECT_THAT(LoadError(absl::StatusCode::kUnimplemented),
                HasSubstr(std::string(key) + " of type \"Quantum\" is not supported"))
        << key;
  }
  json file = SmallTokenizer();
  file["normalizer"] = {{"type", "Sequence"},
                        {"normalizers", {{{"type", "NFC"}}, {{"type", "Quantum"}}}}};
  Write("tokenizer.json", file.dump());
  EXPECT_THAT(LoadError(absl::StatusCode::kUnimplemented),
              HasSubstr("normalizer of type \"Quantum\""));
  file = SmallTokenizer();
  file["model"]["type"] = "Quantum";
  Write("tokenizer.json", file.dump());
  EXPECT_THAT(LoadError(absl::StatusCode::kUnimplemented), HasSubstr("model of type \"Quantum\""));
}

TEST_F(TokenizerFolderTest, BrokenFilesAreErrors) {
  Write("tokenizer.json", "{\"version\": ");
  EXPECT_THAT(LoadError(absl::StatusCode::kInvalidArgument), HasSubstr("not valid JSON"));
  Write("tokenizer.json", std::string(100000, '['));
  EXPECT_THAT(LoadError(absl::StatusCode::kInvalidArgument), HasSubstr("nested deeper than 64"));
  json file = SmallTokenizer();
  file["model"]["vocab"][std::string(20000, 'a')] = 9;
  Write("tokenizer.json", file.dump());
  EXPECT_THAT(LoadError(absl::StatusCode::kInvalidArgument), HasSubstr("longer than 16384 bytes"));
  file = SmallTokenizer();
  file.erase("model");
  Write("tokenizer.json", file.dump());
  EXPECT_THAT(LoadError(absl::StatusCode::kInvalidArgument), HasSubstr("has no \"model\""));
  file = SmallTokenizer();
  file["model"]["vocab"]["a"] = 3000000000u;
  Write("tokenizer.json", file.dump());
  EXPECT_THAT(LoadError(absl::StatusCode::kInvalidArgument), HasSubstr("has id 3000000000"));
  file = SmallTokenizer();
  file["added_tokens"] = {{{"id", 77},
                           {"content", "<x>"},
                           {"single_word", false},
                           {"lstrip", false},
                           {"rstrip", false},
                           {"normalized", false},
                           {"special", true}}};
  Write("tokenizer.json", file.dump());
  EXPECT_THAT(LoadError(absl::StatusCode::kInvalidArgument),
              HasSubstr("\"<x>\" should have id 77"));
}

// To try each prefix of a word of 200,000 characters, from the longest down, would take hours.
TEST_F(TokenizerFolderTest, WordPiece_TakesTheLongestPieceOfALongWord) {
  json file = SmallTokenizer();
  file["model"] = {
      {"type", "WordPiece"},
      {"unk_token", "?"},
      {"continuing_subword_prefix", "##"},
      {"max_input_chars_per_word", 1000000},
      {"vocab",
       {{"?", 0}, {"a", 1}, {"aa", 2}, {"##a", 3}, {"##aaa", 4}, {"##", 5}, {"##\u00e9", 6}}}};
  Write("tokenizer.json", file.dump());
  std::vector<int32_t> want = {2};
  want.insert(want.end(), 66666, 4);
  EXPECT_EQ(Ids(std::string(200000, 'a')), want);
  want.push_back(3);
  EXPECT_EQ(Ids(std::string(200001, 'a')), want);
  // An end that no piece matches makes the whole word unknown.
  EXPECT_EQ(Ids(std::string(200000, 'a') + "b"), std::vector<int32_t>{0});
  EXPECT_THAT(Ids("##aaa"), ElementsAre(4));  // the text's own "##", at the start of a word
  EXPECT_THAT(Ids("a\xC3\xA9"
                  "a"),
              ElementsAre(1, 6, 3));
}

TEST_F(TokenizerFolderTest, PostProcessorMustHoldTheTextOnce) {
  json file = SmallTokenizer();
  file["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single",
                             {{{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
                              {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
                            {"pair",
                             {{{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
                              {{"Sequence", {{"id", "B"}, {"type_id", 1}}}}}},
                            {"special_tokens", json::object()}};
  Write("tokenizer.json", file.dump());
  EXPECT_THAT(LoadError(absl::StatusCode::kInvalidArgument),
              HasSubstr("puts a single text 2 times"));
}

}  // namespace
}  // namespace longspan
