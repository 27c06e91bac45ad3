// What tokenizer classes make of folders whose files disagree, against transformers 5.23:
// tests/fixtures/tokenizers/files.json holds folders that tests/parity/compare_tokenizer_files.py
// drew, without their vocabularies, and the ids and token types that AutoTokenizer gave.
#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "core/tokenizer/tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using json = nlohmann::json;

const std::string kFixtures = std::string(LONGSPAN_FIXTURES) + "/tokenizers/";

json ReadJson(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  return json::parse(file);
}

std::vector<std::string> ReadLines(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

// Puts the vocabulary of that name into the "model" of a tokenizer.json.
void AddVocabulary(const std::string& name, json* model) {
  if (name == "WordPiece") {
    json vocabulary = json::object();
    int64_t id = 0;
    for (const std::string& token : ReadLines(kFixtures + "bert-cased/vocab.txt"))
      vocabulary[token] = id++;
    for (const char* token : {"<s>", "<pad>", "</s>", "<mask>"}) vocabulary[token] = id++;
    (*model)["vocab"] = vocabulary;
  } else if (name == "byte BPE") {
    (*model)["vocab"] = ReadJson(kFixtures + "roberta/vocab.json");
    json merges = json::array();
    for (const std::string& line : ReadLines(kFixtures + "roberta/merges.txt")) {
      if (!line.starts_with("#version")) merges.push_back(line);
    }
    (*model)["merges"] = merges;
  } else if (name == "BPE") {
    const json whole = ReadJson(kFixtures + "metaspace-bpe/tokenizer.json");
    (*model)["vocab"] = whole["model"]["vocab"];
    (*model)["merges"] = whole["model"]["merges"];
  } else {
    ASSERT_EQ(name, "Unigram");
    json pieces = ReadJson(kFixtures + "unigram/tokenizer.json")["model"]["vocab"];
    for (const char* token : {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"})
      pieces.push_back(json::array({token, -9.5}));
    (*model)["vocab"] = pieces;
  }
}

// The charsmap of the fixture "unigram", in the place of its name.
void AddCharsmap(json* normalizer) {
  if (normalizer->is_null()) return;
  const json steps = ReadJson(kFixtures + "unigram/tokenizer.json")["normalizer"]["normalizers"];
  for (json* step = normalizer; step != nullptr;) {
    if (step->value("precompiled_charsmap", "") == "unigram")
      (*step)["precompiled_charsmap"] = steps[0]["precompiled_charsmap"];
    step = step->contains("normalizers") ? &(*step)["normalizers"][0] : nullptr;
  }
}

TEST(TokenizerClassTest, FoldersWhoseFilesDisagree_GiveTheTokensOfTransformers) {
  const json recorded = ReadJson(kFixtures + "files.json");
  ASSERT_GE(recorded["cases"].size(), 40u);
  for (const json& one : recorded["cases"]) {
    TemporaryFolder folder;
    folder.WriteText("config.json", json{{"model_type", one["model_type"]}}.dump());
    for (const auto& [name, content] : one["files"].items()) {
      json file = content;
      if (name == "tokenizer.json") {
        AddVocabulary(one["vocabulary"], &file["model"]);
        AddCharsmap(&file["normalizer"]);
      }
      folder.WriteText(name, file.dump());
    }
    const auto tokenizer = Tokenizer::Load(folder.path());
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status() << one.dump();
    for (size_t i = 0; i < recorded["texts"].size(); ++i) {
      const std::string text = recorded["texts"][i];
      const auto got = (*tokenizer)->Encode(text);
      ASSERT_TRUE(got.ok()) << got.status();
      EXPECT_EQ(got->ids, one["want"][i][0].get<std::vector<int32_t>>()) << text << one.dump();
      std::vector<int32_t> types = one["want"][i][1];
      if (std::count(types.begin(), types.end(), 0) == std::ssize(types)) types.clear();
      EXPECT_EQ(got->types, types) << text << one.dump();
    }
  }
}

// A folder of a BERT with a tokenizer.json of words; tests write what disagrees with it.
class DisagreeingFilesTest : public ::testing::Test {
 protected:
  DisagreeingFilesTest() {
    document_ = {{"version", "1.0"},
                 {"added_tokens", json::array()},
                 {"normalizer",
                  {{"type", "BertNormalizer"},
                   {"clean_text", true},
                   {"lowercase", true},
                   {"handle_chinese_chars", true},
                   {"strip_accents", nullptr}}},
                 {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
                 {"post_processor", nullptr},
                 {"decoder", nullptr},
                 {"model",
                  {{"type", "WordPiece"},
                   {"unk_token", "[UNK]"},
                   {"continuing_subword_prefix", "##"},
                   {"max_input_chars_per_word", 100},
                   {"vocab",
                    {{"[PAD]", 0},
                     {"[UNK]", 1},
                     {"[CLS]", 2},
                     {"[SEP]", 3},
                     {"[MASK]", 4},
                     {"a", 5},
                     {"A", 6},
                     {"b", 7}}}}}};
    folder_.WriteText("config.json", R"({"model_type": "bert"})");
  }
  void Config(const std::string& text) { folder_.WriteText("tokenizer_config.json", text); }
  absl::StatusOr<std::unique_ptr<Tokenizer>> Load() {
    folder_.WriteText("tokenizer.json", document_.dump());
    return Tokenizer::Load(folder_.path());
  }
  Tokenization Encode(const std::string& text) {
    const auto tokenizer = Load();
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    return tokenizer.ok() ? (*tokenizer)->Encode(text).value() : Tokenization{};
  }
  std::string Error() { return std::string(Load().status().message()); }

  TemporaryFolder folder_;
  json document_;
};

TEST_F(DisagreeingFilesTest, TheConfigurationOfABertTokenizerWins) {
  EXPECT_THAT(Encode("A a").ids, ElementsAre(2, 5, 5, 3));
  Config(R"({"tokenizer_class": "BertTokenizer", "do_lower_case": false})");
  EXPECT_THAT(Encode("A a").ids, ElementsAre(2, 6, 5, 3));
  Config(R"({"do_lower_case": false, "cls_token": "[MASK]", "unk_token": "b"})");
  EXPECT_THAT(Encode("A x").ids, ElementsAre(4, 6, 7, 3));
}

TEST_F(DisagreeingFilesTest, TheFileOfAFastTokenizerWins) {
  for (const char* name : {"PreTrainedTokenizerFast", "TokenizersBackend", "MyOwnTokenizer"}) {
    Config(std::string(R"({"do_lower_case": false, "tokenizer_class": ")") + name + "\"}");
    EXPECT_THAT(Encode("A a").ids, ElementsAre(5, 5)) << name;
  }
  folder_.WriteText("config.json", R"({"model_type": "modernbert"})");
  Config(R"({"do_lower_case": false, "tokenizer_class": "BertTokenizer"})");
  EXPECT_THAT(Encode("A a").ids, ElementsAre(5, 5));
}

TEST_F(DisagreeingFilesTest, ConfigJsonNamesTheClassWhereNoOtherFileDoes) {
  folder_.WriteText("config.json",
                    R"({"model_type": "bert", "tokenizer_class": "PreTrainedTokenizerFast"})");
  EXPECT_THAT(Encode("A a").ids, ElementsAre(5, 5));
  Config(R"({"tokenizer_class": "BertTokenizer"})");
  EXPECT_THAT(Encode("A a").ids, ElementsAre(2, 5, 5, 3));
}

TEST_F(DisagreeingFilesTest, TypesGoToTheModelWhereTheTokenizerPassesThem) {
  document_["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single",
       {{{"SpecialToken", {{"id", "[CLS]"}, {"type_id", 0}}}},
        {{"Sequence", {{"id", "A"}, {"type_id", 1}}}},
        {{"SpecialToken", {{"id", "[SEP]"}, {"type_id", 2}}}}}},
      {"pair",
       {{{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
        {{"Sequence", {{"id", "B"}, {"type_id", 1}}}}}},
      {"special_tokens",
       {{"[CLS]", {{"id", "[CLS]"}, {"ids", {2}}, {"tokens", {"[CLS]"}}}},
        {"[SEP]", {{"id", "[SEP]"}, {"ids", {3}}, {"tokens", {"[SEP]"}}}}}}};
  Config(R"({"tokenizer_class": "PreTrainedTokenizerFast"})");
  EXPECT_TRUE(Encode("a b").types.empty());
  Config(R"({"tokenizer_class": "PreTrainedTokenizerFast",
             "model_input_names": ["input_ids", "token_type_ids", "attention_mask"]})");
  EXPECT_THAT(Encode("a b").types, ElementsAre(0, 1, 1, 2));
  const auto tokenizer = Load();
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_THAT((*tokenizer)->types().prefix, ElementsAre(0));
  EXPECT_EQ((*tokenizer)->types().text, 1);
  EXPECT_THAT((*tokenizer)->types().suffix, ElementsAre(2));
  EXPECT_EQ((*tokenizer)->types().largest(), 2);
  EXPECT_THAT((*tokenizer)->Encode("a b", /*add_special_tokens=*/false)->types, ElementsAre(1, 1));
  // A BertTokenizer makes its own post-processor, in which all types are 0.
  Config(R"({"tokenizer_class": "BertTokenizer"})");
  EXPECT_TRUE(Encode("a b").types.empty());
}

// A long text is tokenised in parts, which know nothing of its types.
TEST_F(DisagreeingFilesTest, TypesOfALongTextAreThoseOfItsTokens) {
  document_["post_processor"] = {{"type", "TemplateProcessing"},
                                 {"single", {{{"Sequence", {{"id", "A"}, {"type_id", 1}}}}}},
                                 {"pair",
                                  {{{"Sequence", {{"id", "A"}, {"type_id", 0}}}},
                                   {{"Sequence", {{"id", "B"}, {"type_id", 1}}}}}},
                                 {"special_tokens", json::object()}};
  Config(R"({"tokenizer_class": "PreTrainedTokenizerFast",
             "model_input_names": ["input_ids", "token_type_ids"]})");
  std::string text;
  while (text.size() < (600 << 10)) text += "a b ";
  const Tokenization tokens = Encode(text);
  EXPECT_EQ(tokens.types, std::vector<int32_t>(tokens.ids.size(), 1));
}

TEST_F(DisagreeingFilesTest, ClassesThatAreNotKnownHereAreRefusedByName) {
  for (const char* name : {"GPT2Tokenizer", "LlamaTokenizerFast", "BertJapaneseTokenizer"}) {
    Config(std::string(R"({"tokenizer_class": ")") + name + "\"}");
    EXPECT_THAT(Error(), AllOf(HasSubstr("tokenizer_config.json"),
                               HasSubstr(std::string(name).substr(0, 9))));
  }
  Config(R"({"auto_map": {"AutoTokenizer": ["my.Tokenizer", null]}})");
  EXPECT_THAT(Error(), HasSubstr("\"auto_map\" names a tokenizer class of the folder's own"));
  Config(R"({"tokenizer_class": "RobertaTokenizer"})");
  EXPECT_THAT(Error(), HasSubstr("its model is not the BPE"));
}

TEST_F(DisagreeingFilesTest, KeysThatCannotBeHonouredAreRefusedByName) {
  const std::pair<const char*, const char*> files[] = {
      {"tokenizer_config.json", R"({"fast_tokenizer_files": ["tokenizer.4.0.json"]})"},
      {"tokenizer_config.json", R"({"init_inputs": [1]})"},
      {"tokenizer_config.json", R"({"do_lower_case": "no"})"},
      {"tokenizer_config.json", R"({"cls_token": null})"},
      {"tokenizer_config.json", R"({"cls_token": "[NOWHERE]"})"},
      {"tokenizer_config.json", R"({"model_input_names": "input_ids"})"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "a"}}})"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"7": {"content": "a"}}})"},
      {"tokenizer_config.json", R"({"extra_special_tokens": 3})"},
      {"special_tokens_map.json", R"({"do_lower_case": false})"},
  };
  for (const auto& [name, text] : files) {
    folder_.WriteText(name, text);
    const std::string error = Error();
    const std::string key = json::parse(text).begin().key();
    EXPECT_THAT(error, ::testing::AnyOf(HasSubstr(key), HasSubstr("added token \"a\""))) << text;
    folder_.WriteText(name, "{}");
  }
}

TEST_F(DisagreeingFilesTest, SpecialTokensOfATextCanBeText) {
  Config(R"({"split_special_tokens": false})");
  EXPECT_THAT(Encode("a [MASK]").ids, ElementsAre(2, 5, 4, 3));
  Config(R"({"split_special_tokens": true})");
  EXPECT_THAT(Encode("a [MASK]").ids, ElementsAre(2, 5, 1, 1, 1, 3));
}

}  // namespace
}  // namespace longspan
