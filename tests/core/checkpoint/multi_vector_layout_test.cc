// Which folders are multi-vector models, and what their files say. What the published library makes
// of such folders is compared by tests/parity/compare_multi_vector.py.
#include "core/checkpoint/multi_vector_layout.h"

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "core/checkpoint/model_folder.h"
#include "core/weights/safetensors_reader.h"
#include "nlohmann/json.hpp"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

constexpr const char* kTransformer = "sentence_transformers.base.modules.transformer.Transformer";
constexpr const char* kDense = "sentence_transformers.base.modules.dense.Dense";
constexpr const char* kNormalize = "sentence_transformers.base.modules.normalize.Normalize";
constexpr const char* kMask =
    "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask";
constexpr const char* kPylateDense = "pylate.models.Dense.Dense";
constexpr const char* kTop = "config_sentence_transformers.json";
constexpr const char* kOfTokens = "token_embeddings";

class MultiVectorLayoutTest : public ::testing::Test {
 protected:
  MultiVectorLayoutTest() {
    Put("config.json", {{"model_type", "bert"}, {"hidden_size", 8}});
    PutWeights("", {{"a", {2}}});
  }

  void Put(const std::string& file, const json& value) { folder_.WriteText(file, value.dump()); }
  // Zeros, by name and shape, in the model.safetensors of a folder in the folder.
  void PutWeights(const std::string& place,
                  const std::vector<std::pair<std::string, std::vector<int64_t>>>& weights) {
    static const std::vector<std::byte> kZeros(4096);
    std::map<std::string, StoredTensor> tensors;
    for (const auto& [name, shape] : weights) {
      int64_t bytes = 4;
      for (const int64_t size : shape) bytes *= size;
      tensors[name] = {StoredType::kF32, shape, std::span(kZeros).first(bytes)};
    }
    const std::string path = folder_.path() + "/" + place;
    ASSERT_TRUE(WriteSafetensors(path + "model.safetensors", tensors).ok());
  }
  void PutModules(const std::vector<std::string>& types) {
    json list = json::array();
    for (size_t i = 0; i < types.size(); ++i) {
      const std::string path = i == 0 ? "" : std::to_string(i) + "_Module";
      list.push_back({{"idx", i}, {"name", std::to_string(i)}, {"path", path}, {"type", types[i]}});
      if (i == 0) continue;
      if (types[i] == kDense || types[i] == kPylateDense) {
        Put(path + "/config.json", {{"in_features", 8},
                                    {"out_features", 4},
                                    {"bias", false},
                                    {"activation_function", "torch.nn.modules.linear.Identity"}});
        PutWeights(path + "/", {{"linear.weight", {4, 8}}});
      } else {
        Put(path + "/config.json", {{"module_input_name", kOfTokens}});
        if (types[i] == kMask) Put(path + "/config.json", {{"skiplist_words", {".", ","}}});
      }
    }
    Put("modules.json", list);
  }
  // A folder of MultiVectorEncoder: Transformer, Dense, MultiVectorMask, Normalize.
  void PutNative() {
    PutModules({kTransformer, kDense, kMask, kNormalize});
    Put(kTop, {{"model_type", "MultiVectorEncoder"}, {"prompts", {{"query", "find "}}}});
    Put("sentence_bert_config.json",
        {{"query_expansion", {{"strategy", "min"}, {"length", 16}, {"attend", true}}},
         {"document_length", 300}});
  }
  void PutPylate(json top) {
    PutModules({"sentence_transformers.models.Transformer", kPylateDense});
    Put(kTop, top);
  }

  ModelFolder Folder() const {
    auto folder = ModelFolder::Open(folder_.path());
    EXPECT_TRUE(folder.ok()) << folder.status();
    return folder.ok() ? *std::move(folder) : ModelFolder();
  }
  MultiVectorConfig Config() const {
    const ModelFolder folder = Folder();
    EXPECT_TRUE(folder.multi_vector().has_value());
    return folder.multi_vector().value_or(MultiVectorConfig());
  }
  std::string Error() const {
    const auto folder = ModelFolder::Open(folder_.path());
    EXPECT_FALSE(folder.ok());
    const std::string message(folder.status().message());
    EXPECT_THAT(message, Not(HasSubstr("\n")));
    return message;
  }

  TemporaryFolder folder_;
};

// MultiVectorEncoder.

TEST_F(MultiVectorLayoutTest, Native_IsReadWhole) {
  PutNative();
  const ModelFolder folder = Folder();
  EXPECT_THAT(folder.pooling(), IsEmpty());
  EXPECT_TRUE(folder.normalize());
  ASSERT_EQ(folder.dense().size(), 1u);
  EXPECT_EQ(folder.dense()[0].out_features, 4);
  EXPECT_THAT(folder.prompts(), ElementsAre(Pair("query", "find ")));
  EXPECT_THAT(folder.warnings(), IsEmpty());
  const MultiVectorConfig config = Config();
  EXPECT_EQ(config.document_length, 300);
  ASSERT_TRUE(config.expansion.has_value());
  EXPECT_EQ(config.expansion->length, 16);
  EXPECT_FALSE(config.expansion->is_fixed);
  EXPECT_TRUE(config.expansion->is_attended);
  EXPECT_EQ(config.expansion->token, "");
  EXPECT_THAT(config.skipped_words, ElementsAre(".", ","));
  EXPECT_TRUE(config.skips_in_documents);
  EXPECT_FALSE(config.skips_in_queries);
  EXPECT_THAT(config.prefixes, IsEmpty());
}

TEST_F(MultiVectorLayoutTest, Native_MayLackAllButTheTransformer) {
  PutModules({kTransformer});
  Put(kTop, {{"model_type", "MultiVectorEncoder"}});
  const ModelFolder folder = Folder();
  EXPECT_FALSE(folder.normalize());
  EXPECT_THAT(folder.dense(), IsEmpty());
  EXPECT_FALSE(Config().expansion.has_value());
  EXPECT_THAT(Config().skipped_words, IsEmpty());
}

TEST_F(MultiVectorLayoutTest, Native_TasksOfTheSkipList) {
  PutNative();
  const auto skips = [&](const json& tasks) {
    Put("2_Module/config.json", {{"skiplist_words", {"."}}, {"skiplist_tasks", tasks}});
    const MultiVectorConfig config = Config();
    return std::pair(config.skips_in_queries, config.skips_in_documents);
  };
  EXPECT_THAT(skips(nullptr), Pair(false, true));
  EXPECT_THAT(skips("query"), Pair(true, false));
  EXPECT_THAT(skips({"document", "query"}), Pair(true, true));
  EXPECT_THAT(skips(json::array()), Pair(false, false));
}

TEST_F(MultiVectorLayoutTest, Native_RefusesWhatItCannotServe) {
  struct Case {
    const char* file;
    json value;
    std::vector<std::string> words;
  };
  const Case cases[] = {
      {"2_Module/config.json", {{"keep_only_token_ids", {3}}}, {"keep_only_token_ids", "images"}},
      {"2_Module/config.json", {{"skiplist_words", "."}}, {"skiplist_words", "list of strings"}},
      {"2_Module/config.json", {{"skiplist_words", {1}}}, {"skiplist_words", "list of strings"}},
      {"2_Module/config.json", {{"skiplist_tasks", 1}}, {"skiplist_tasks"}},
      {"3_Module/config.json", json::object(), {"module_input_name", kOfTokens}},
      {"3_Module/config.json",
       {{"module_input_name", "sentence_embedding"}},
       {"sentence_embedding", kOfTokens}},
      {"1_Module/config.json",
       {{"in_features", 8}, {"out_features", 4}, {"module_input_name", "sentence_embedding"}},
       {"module_input_name", kOfTokens}},
      {"sentence_bert_config.json", {{"query_expansion", "yes"}}, {"query_expansion"}},
      {"sentence_bert_config.json",
       {{"query_expansion", {{"strategy", "max"}, {"length", 9}}}},
       {"query_expansion.strategy", "fixed"}},
      {"sentence_bert_config.json",
       {{"query_expansion", {{"length", 9}}}},
       {"query_expansion.strategy"}},
      {"sentence_bert_config.json",
       {{"query_expansion", {{"strategy", "min"}, {"length", 0}}}},
       {"query_expansion.length"}},
      {"sentence_bert_config.json",
       {{"query_expansion", {{"strategy", "min"}, {"length", 9}, {"attend", 1}}}},
       {"query_expansion.attend"}},
      {"sentence_bert_config.json",
       {{"query_expansion", {{"strategy", "min"}, {"length", 9}, {"side", 1}}}},
       {"query_expansion", "strategy, attend, token and length"}},
      {"sentence_bert_config.json",
       {{"query_length", 8}, {"query_expansion", {{"strategy", "min"}, {"length", 9}}}},
       {"query_length", "8", "9"}},
      {kTop,
       {{"model_type", "MultiVectorEncoder"}, {"truncate_dim", 2}},
       {"truncate_dim", "MultiVectorEncoder"}},
  };
  for (const Case& c : cases) {
    PutNative();
    Put(c.file, c.value);
    const std::string error = Error();
    EXPECT_THAT(error, HasSubstr(c.file));
    for (const std::string& word : c.words) EXPECT_THAT(error, HasSubstr(word));
  }
}

TEST_F(MultiVectorLayoutTest, Native_ADenseTakesWhatStandsBeforeIt) {
  PutNative();
  Put("1_Module/config.json", {{"in_features", 9}, {"out_features", 4}});
  EXPECT_THAT(Error(), HasSubstr("Dense takes 9 values, what stands before it gives 8"));
}

TEST_F(MultiVectorLayoutTest, Native_RefusesModulesInAnUnusualOrder) {
  const char* pooling = "sentence_transformers.sentence_transformer.modules.pooling.Pooling";
  const std::vector<std::string> chains[] = {
      {kDense},
      {kTransformer, kNormalize, kDense},
      {kTransformer, kMask, kMask},
      {kTransformer, kNormalize, kNormalize},
      {kTransformer, pooling},
  };
  for (const auto& chain : chains) {
    PutNative();
    PutModules(chain);
    EXPECT_THAT(Error(), AllOf(HasSubstr("modules.json"), HasSubstr("stands in an unusual place"),
                               HasSubstr("MultiVectorMask")));
  }
}

TEST_F(MultiVectorLayoutTest, Native_ExpansionNeedsAMask) {
  PutNative();
  PutModules({kTransformer, kDense, kNormalize});
  EXPECT_THAT(Error(), AllOf(HasSubstr("query_expansion"), HasSubstr("MultiVectorMask")));
}

TEST_F(MultiVectorLayoutTest, AModelWithPooling_KnowsNoMask) {
  PutModules({kTransformer, kMask});
  EXPECT_THAT(Error(), HasSubstr("unknown module \"MultiVectorMask\""));
}

// PyLate.

TEST_F(MultiVectorLayoutTest, Pylate_IsReadWhole) {
  PutPylate({{"model_type", "ColBERT"},
             {"query_prefix", "[Q] "},
             {"document_prefix", "[D] "},
             {"query_length", 24},
             {"document_length", 180},
             {"attend_to_expansion_tokens", true},
             {"skiplist_words", {"!"}},
             {"prompts", {{"query", "find "}, {"document", "[D] read "}}}});
  const ModelFolder folder = Folder();
  EXPECT_TRUE(folder.normalize());
  EXPECT_THAT(folder.warnings(), IsEmpty());
  // The prefix stands in front once.
  EXPECT_THAT(folder.prompts(),
              ElementsAre(Pair("document", "[D] read "), Pair("query", "[Q] find ")));
  const MultiVectorConfig config = Config();
  EXPECT_EQ(config.document_length, 180);
  EXPECT_EQ(config.query_length, 0);
  ASSERT_TRUE(config.expansion.has_value());
  EXPECT_EQ(config.expansion->length, 24);
  EXPECT_TRUE(config.expansion->is_fixed);
  EXPECT_TRUE(config.expansion->is_attended);
  EXPECT_THAT(config.skipped_words, ElementsAre("!"));
  EXPECT_THAT(*ReadPrefixes(folder_.path()), ElementsAre("[Q] ", "[D] "));
}

TEST_F(MultiVectorLayoutTest, Pylate_Defaults) {
  PutPylate({{"model_type", "ColBERT"}});
  EXPECT_FALSE(Config().expansion.has_value());   // no key of PyLate's own
  EXPECT_EQ(Config().skipped_words.size(), 32u);  // punctuation
  PutPylate({{"query_prefix", "[Q] "}});
  EXPECT_EQ(Config().expansion->length, 32);
  EXPECT_FALSE(Config().expansion->is_attended);
  EXPECT_EQ(Config().skipped_words.size(), 32u);
  PutPylate({{"model_type", "ColBERT"}, {"skiplist_words", json::array()}});
  EXPECT_THAT(Config().skipped_words, IsEmpty());
  PutPylate({{"document_length", 300}});  // neither a name nor prefixes
  EXPECT_THAT(Config().skipped_words, IsEmpty());
}

TEST_F(MultiVectorLayoutTest, Pylate_MayNotExpandQueries) {
  PutPylate({{"query_length", 24}, {"do_query_expansion", false}});
  EXPECT_FALSE(Config().expansion.has_value());
  EXPECT_EQ(Config().query_length, 24);
  PutPylate({{"query_length", 24}, {"query_expansion", nullptr}});
  EXPECT_FALSE(Config().expansion.has_value());
}

TEST_F(MultiVectorLayoutTest, Pylate_TheTransformersOwnFileWins) {
  PutPylate({{"query_prefix", "[Q] "}, {"document_length", 180}});
  Put("sentence_bert_config.json", {{"document_length", 90}, {"query_expansion", nullptr}});
  EXPECT_EQ(Config().document_length, 90);
  EXPECT_FALSE(Config().expansion.has_value());
}

TEST_F(MultiVectorLayoutTest, Pylate_RefusesWrongValues) {
  for (const auto& [key, value] : {std::pair<const char*, json>{"query_prefix", 1},
                                   {"query_length", "24"},
                                   {"document_length", -1},
                                   {"attend_to_expansion_tokens", "no"},
                                   {"skiplist_words", {1}}}) {
    PutPylate({{"model_type", "ColBERT"}, {"do_query_expansion", true}, {key, value}});
    EXPECT_THAT(Error(), AllOf(HasSubstr(kTop), HasSubstr(key)));
  }
  PutModules({kTransformer, kPylateDense, kMask});
  Put(kTop, {{"model_type", "ColBERT"}});
  EXPECT_THAT(Error(), AllOf(HasSubstr("modules.json"), HasSubstr("MultiVectorMask")));
}

// Stanford.

class StanfordTest : public MultiVectorLayoutTest {
 protected:
  StanfordTest() {
    Put("config.json",
        {{"model_type", "bert"}, {"hidden_size", 8}, {"architectures", {"HF_ColBERT"}}});
    PutWeights("", {{"bert.a", {2}}, {"linear.weight", {4, 8}}});
  }
};

TEST_F(StanfordTest, IsReadWhole) {
  Put("artifact.metadata", {{"query_token_id", "[Q]"},
                            {"doc_token_id", "[D]"},
                            {"query_maxlen", 20},
                            {"doc_maxlen", 220},
                            {"attend_to_mask_tokens", true},
                            {"mask_punctuation", false},
                            {"nranks", 4},
                            {"meta", {{"hostname", "x"}}}});
  const ModelFolder folder = Folder();
  EXPECT_TRUE(folder.normalize());
  EXPECT_THAT(folder.warnings(), IsEmpty());
  EXPECT_THAT(folder.pooling(), IsEmpty());
  ASSERT_EQ(folder.dense().size(), 1u);
  EXPECT_EQ(folder.dense()[0].in_features, 8);
  EXPECT_EQ(folder.dense()[0].out_features, 4);
  EXPECT_TRUE(folder.dense()[0].is_among_others);
  EXPECT_THAT(folder.prompts(), ElementsAre(Pair("document", "[D] "), Pair("query", "[Q] ")));
  const MultiVectorConfig config = Config();
  EXPECT_EQ(config.expansion->length, 20);
  EXPECT_TRUE(config.expansion->is_fixed);
  EXPECT_TRUE(config.expansion->is_attended);
  EXPECT_EQ(config.document_length, 220);
  EXPECT_THAT(config.skipped_words, IsEmpty());
}

TEST_F(StanfordTest, WithoutMetadataTheClassicSettingsHold_WithAWarning) {
  const ModelFolder folder = Folder();
  EXPECT_THAT(folder.prompts(),
              ElementsAre(Pair("document", "[unused1] "), Pair("query", "[unused0] ")));
  EXPECT_EQ(Config().expansion->length, 32);
  EXPECT_FALSE(Config().expansion->is_attended);
  EXPECT_EQ(Config().skipped_words.size(), 32u);
  EXPECT_THAT(folder.warnings(), Contains(HasSubstr("artifact.metadata")));
}

TEST_F(StanfordTest, RefusesWhatItCannotServe) {
  Put("artifact.metadata", {{"query_maxlen", "long"}});
  EXPECT_THAT(Error(), AllOf(HasSubstr("artifact.metadata"), HasSubstr("query_maxlen")));
  Put("artifact.metadata", json::object());
  PutWeights("", {{"bert.a", {2}}, {"linear.weight", {4, 7}}});
  EXPECT_THAT(Error(), AllOf(HasSubstr("7"), HasSubstr("8")));
  PutWeights("", {{"bert.a", {2}}, {"linear.weight", {4}}});
  EXPECT_THAT(Error(), AllOf(HasSubstr("linear.weight"), HasSubstr("no matrix")));
  PutWeights("", {{"bert.a", {2}}});
  EXPECT_THAT(Error(), AllOf(HasSubstr("linear.weight"), HasSubstr("HF_ColBERT")));
}

TEST_F(StanfordTest, ModulesGoBeforeTheArchitecture) {
  PutNative();
  Put("config.json",
      {{"model_type", "bert"}, {"hidden_size", 8}, {"architectures", {"HF_ColBERT"}}});
  EXPECT_FALSE(Config().has_inline_projection);
}

// The others.

TEST_F(MultiVectorLayoutTest, AMultiVectorModelWithoutModules_IsRefused) {
  Put(kTop, {{"model_type", "MultiVectorEncoder"}});
  EXPECT_THAT(Error(), AllOf(HasSubstr("model_type"), HasSubstr("modules.json")));
}

TEST_F(MultiVectorLayoutTest, OtherFoldersAreNone) {
  EXPECT_FALSE(Folder().multi_vector().has_value());
  EXPECT_THAT(*ReadPrefixes(folder_.path()), IsEmpty());
  PutModules({kTransformer, "sentence_transformers.models.Pooling"});
  Put("1_Module/config.json", json::object());
  Put(kTop, {{"query_prefix", "[Q] "}});  // which the library ignores here
  EXPECT_FALSE(Folder().multi_vector().has_value());
}

}  // namespace
}  // namespace longspan
