#include "core/checkpoint/model_folder.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/checkpoint/sentence_layout.h"
#include "core/weights/safetensors_reader.h"
#include "nlohmann/json.hpp"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;

constexpr const char* kOldTransformer =
    R"({"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"})";
constexpr const char* kOldPooling =
    R"({"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"})";
constexpr const char* kNormalize =
    R"({"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"})";
constexpr const char* kDense =
    R"({"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"})";

class ModelFolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "model_folder_test." + std::to_string(getpid());
    std::filesystem::remove_all(folder_);
    Put("config.json", R"({"model_type": "bert", "hidden_size": 8})");
    PutWeights("model.safetensors", {"a"});
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Put(const std::string& file, const std::string& text) {
    const std::filesystem::path path = std::filesystem::path(folder_) / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
  }
  void PutWeights(const std::string& file, const std::vector<std::string>& names) {
    static const std::vector<std::byte> kZeros(8);
    std::map<std::string, StoredTensor> tensors;
    for (const std::string& name : names) tensors[name] = {StoredType::kF32, {2}, kZeros};
    const std::filesystem::path path = std::filesystem::path(folder_) / file;
    std::filesystem::create_directories(path.parent_path());
    ASSERT_TRUE(WriteSafetensors(path, tensors).ok());
  }
  void PutModules(const std::vector<std::string>& modules) {
    std::string list = "[";
    for (const std::string& module : modules) list += (list.size() > 1 ? ", " : "") + module;
    Put("modules.json", list + "]");
  }
  void Remove(const std::string& file) {
    std::filesystem::remove_all(std::filesystem::path(folder_) / file);
  }
  std::string Error() const {
    const auto folder = ModelFolder::Open(folder_);
    EXPECT_FALSE(folder.ok());
    const std::string message(folder.status().message());
    EXPECT_THAT(message, Not(HasSubstr("\n")));
    return message;
  }
  ModelFolder Folder() const {
    auto folder = ModelFolder::Open(folder_);
    EXPECT_TRUE(folder.ok()) << folder.status();
    return folder.ok() ? *std::move(folder) : ModelFolder();
  }

  std::string folder_;
};

// The Hugging Face layout.

TEST_F(ModelFolderTest, Open_APlainCheckpointIsMeanPooledAndNotNormalised) {
  const ModelFolder folder = Folder();
  EXPECT_EQ(folder.model_type(), "bert");
  EXPECT_THAT(folder.weight_files(), ElementsAre(folder_ + "/model.safetensors"));
  EXPECT_THAT(folder.pooling(), ElementsAre(PoolingMode::kMean));
  EXPECT_FALSE(folder.normalize());
  EXPECT_TRUE(folder.pool_prompt());
  EXPECT_THAT(folder.dense(), IsEmpty());
  EXPECT_FALSE(folder.max_seq_length().has_value());
}

TEST_F(ModelFolderTest, Open_ACausalLanguageModelIsPooledByItsLastToken) {
  Put("config.json", R"({"model_type": "reformer", "architectures": ["ReformerModelWithLMHead"]})");
  EXPECT_THAT(Folder().pooling(), ElementsAre(PoolingMode::kLastToken));
  Put("config.json", R"({"model_type": "x", "architectures": ["XForCausalLM"]})");
  EXPECT_THAT(Folder().pooling(), ElementsAre(PoolingMode::kLastToken));
  Put("config.json", R"({"model_type": "longformer", "architectures": ["LongformerForMaskedLM"]})");
  EXPECT_THAT(Folder().pooling(), ElementsAre(PoolingMode::kMean));
}

TEST_F(ModelFolderTest, Path_HasTheModelsNameAsItsLastComponent) {
  const auto folder = ModelFolder::Open(folder_ + "/./");
  ASSERT_TRUE(folder.ok());
  EXPECT_EQ(folder->path(), folder_);
}

TEST_F(ModelFolderTest, Open_ReadsEveryFixture) {
  for (const auto& entry : std::filesystem::directory_iterator(LONGSPAN_FIXTURES)) {
    if (!std::filesystem::exists(entry.path() / "config.json"))
      continue;  // tokenizers/ is no model
    const auto folder = ModelFolder::Open(entry.path());
    ASSERT_TRUE(folder.ok()) << folder.status();
    const bool causal = entry.path().filename() == "reformer-causal";
    EXPECT_THAT(folder->pooling(),
                ElementsAre(causal ? PoolingMode::kLastToken : PoolingMode::kMean));
  }
}

TEST_F(ModelFolderTest, Open_RefusesWhatIsNoFolder) {
  EXPECT_EQ(ModelFolder::Open(folder_ + "/nothing").status().code(), absl::StatusCode::kNotFound);
  const auto file = ModelFolder::Open(folder_ + "/config.json");
  EXPECT_THAT(std::string(file.status().message()),
              HasSubstr("is not a folder; give the folder that holds config.json"));
}

TEST_F(ModelFolderTest, Open_RefusesAFolderWithoutConfig) {
  Remove("config.json");
  EXPECT_THAT(Error(), HasSubstr("has no config.json"));
}

TEST_F(ModelFolderTest, Open_RefusesABadConfig) {
  Put("config.json", R"({"model_type": "bert", })");
  EXPECT_THAT(Error(), AllOf(HasSubstr("config.json"), HasSubstr("not valid JSON at byte 24")));
  Put("config.json", "");
  EXPECT_THAT(Error(), HasSubstr("not valid JSON"));
  Put("config.json", "[1, 2]");
  EXPECT_THAT(Error(), HasSubstr("has no \"model_type\""));
  Put("config.json", R"({"model_type": 7})");
  EXPECT_THAT(Error(), HasSubstr("has no \"model_type\""));
  Put("config.json", R"({"model_type": "bert", "x": 1e})");
  EXPECT_THAT(Error(), HasSubstr("not valid JSON at byte 30"));
}

TEST_F(ModelFolderTest, Open_ReadsWhatPythonWritesBeyondTheStandard) {
  Put("config.json", R"({"model_type": "bert", "notes": [NaN, -Infinity], "top_p": 1e999})");
  const auto folder = ModelFolder::Open(folder_);
  EXPECT_TRUE(folder.ok()) << folder.status();
}

TEST_F(ModelFolderTest, Warnings_NameEachKeyThatIsNotKnown) {
  Put("config.json", R"({"model_type": "bert", "hidden_size": 8, "use_cache": true, "colour": 1})");
  const auto folder = ModelFolder::Open(folder_);
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_THAT(folder->warnings(), ElementsAre(AllOf(HasSubstr(folder_ + "/config.json: "),
                                                    HasSubstr("\"colour\" is not a key"))));
}

TEST_F(ModelFolderTest, Open_RefusesAKeyThatWouldChangeVectors) {
  Put("config.json", R"({"model_type": "bert", "is_decoder": true})");
  EXPECT_THAT(Error(), AllOf(HasSubstr("config.json: \"is_decoder\" is true"),
                             HasSubstr("allowed: false, null")));
}

TEST_F(ModelFolderTest, Open_RefusesAFolderWithAnAdapter) {
  Put("adapter_config.json", "{}");
  EXPECT_THAT(Error(), AllOf(HasSubstr("adapter_config.json: adapters are not applied"),
                             HasSubstr("merge_and_unload")));
}

TEST_F(ModelFolderTest, Open_RefusesADeeplyNestedConfigAndAHugeOne) {
  Put("config.json", std::string(100'000, '['));
  EXPECT_THAT(Error(), HasSubstr("nested deeper than 64 levels"));
  Put("config.json", std::string((16 << 20) + 1, ' '));
  EXPECT_THAT(Error(), HasSubstr("at most 16777216 are read"));
}

TEST_F(ModelFolderTest, Open_SaysHowToConvertAPickle) {
  Remove("model.safetensors");
  Put("pytorch_model.bin", "x");
  EXPECT_THAT(Error(), AllOf(HasSubstr("pytorch_model.bin"), HasSubstr("save_pretrained"),
                             HasSubstr(folder_)));
  EXPECT_EQ(ModelFolder::Open(folder_).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ModelFolderTest, Open_RefusesAFolderWithoutWeights) {
  Remove("model.safetensors");
  EXPECT_THAT(Error(), HasSubstr("neither model.safetensors nor model.safetensors.index.json"));
}

// Shards.

class ShardedFolderTest : public ModelFolderTest {
 protected:
  void SetUp() override {
    ModelFolderTest::SetUp();
    Remove("model.safetensors");
    PutWeights("model-00001-of-00002.safetensors", {"a", "b"});
    PutWeights("model-00002-of-00002.safetensors", {"c"});
  }
  void PutIndex(const std::string& weight_map) {
    Put("model.safetensors.index.json",
        R"({"metadata": {"total_size": 24}, "weight_map": )" + weight_map + "}");
  }
};

TEST_F(ShardedFolderTest, Open_ListsEachShardOnce) {
  PutIndex(
      R"({"a": "model-00001-of-00002.safetensors", "b": "model-00001-of-00002.safetensors", "c": "model-00002-of-00002.safetensors"})");
  EXPECT_THAT(Folder().weight_files(), ElementsAre(EndsWith("model-00001-of-00002.safetensors"),
                                                   EndsWith("model-00002-of-00002.safetensors")));
}

TEST_F(ShardedFolderTest, Open_RefusesAMissingShard) {
  PutIndex(R"({"a": "model-00001-of-00002.safetensors", "c": "model-00003-of-00002.safetensors"})");
  EXPECT_THAT(
      Error(),
      HasSubstr("names the shard model-00003-of-00002.safetensors, which is not in the folder"));
}

TEST_F(ShardedFolderTest, Open_RefusesAnIndexOfOtherShards) {
  PutIndex(R"({"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"})");
  EXPECT_THAT(Error(), AllOf(HasSubstr("\"b\""), HasSubstr("does not hold it")));
}

TEST_F(ShardedFolderTest, Open_RefusesAShardOutsideTheFolder) {
  for (const char* name : {"../x.safetensors", "/etc/passwd", "", "..", "sub/x.safetensors"}) {
    PutIndex(std::string(R"({"a": ")") + name + "\"}");
    EXPECT_THAT(Error(), HasSubstr("is not a file name")) << name;
  }
}

TEST_F(ShardedFolderTest, Open_RefusesAnIndexOfAnotherForm) {
  for (const char* map : {"{}", "[]", "null", "7"}) {
    PutIndex(map);
    EXPECT_THAT(Error(), HasSubstr("has no \"weight_map\"")) << map;
  }
  PutIndex(R"({"a": 3})");
  EXPECT_THAT(Error(), HasSubstr("gives no file name for \"a\""));
  Put("model.safetensors.index.json", "[]");
  EXPECT_THAT(Error(), HasSubstr("has no \"weight_map\""));
}

TEST_F(ShardedFolderTest, Open_RefusesADamagedShard) {
  PutIndex(R"({"a": "model-00001-of-00002.safetensors"})");
  Put("model-00001-of-00002.safetensors", "short");
  EXPECT_THAT(Error(), HasSubstr("has at least 8 bytes"));
}

// The sentence-transformers layout.

TEST_F(ModelFolderTest, Modules_OldLayoutWithEverything) {
  PutModules({kOldTransformer, kOldPooling, kDense,
              R"({"path": "3_Normalize", "type": "sentence_transformers.models.Normalize"})"});
  Put("1_Pooling/config.json",
      R"({"word_embedding_dimension": 8, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true,
      "pooling_mode_max_tokens": true, "pooling_mode_mean_sqrt_len_tokens": false, "include_prompt": false})");
  Put("2_Dense/config.json",
      R"({"in_features": 16, "out_features": 4, "bias": true, "activation_function": "torch.nn.modules.activation.Tanh"})");
  PutWeights("2_Dense/model.safetensors", {"linear.weight"});
  Put("sentence_bert_config.json", R"({"max_seq_length": 256, "do_lower_case": true})");
  Put("config_sentence_transformers.json",
      R"({"__version__": {"pytorch": "2"}, "prompts": {"query": "q: ", "document": ""},
      "default_prompt_name": "query", "similarity_fn_name": "cosine", "truncate_dim": 3})");
  const ModelFolder folder = Folder();
  EXPECT_THAT(folder.pooling(), ElementsAre(PoolingMode::kMax, PoolingMode::kMean));
  EXPECT_FALSE(folder.pool_prompt());
  ASSERT_EQ(folder.dense().size(), 1U);
  EXPECT_EQ(folder.dense()[0].activation, "Tanh");
  EXPECT_EQ(folder.dense()[0].in_features, 16);
  EXPECT_EQ(folder.dense()[0].out_features, 4);
  EXPECT_EQ(folder.dense()[0].weights_path, folder_ + "/2_Dense/model.safetensors");
  EXPECT_TRUE(folder.normalize());
  EXPECT_EQ(folder.max_seq_length(), 256);
  EXPECT_TRUE(
      ReadLengthAndCase(folder.transformer_path(), true, "SentenceTransformer")->do_lower_case);
  EXPECT_THAT(folder.prompts(), ElementsAre(Pair("document", ""), Pair("query", "q: ")));
  EXPECT_EQ(folder.default_prompt_name(), "query");
  EXPECT_EQ(folder.truncate_dim(), 3);
}

TEST_F(ModelFolderTest, Modules_NewLayout) {
  PutModules(
      {R"({"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"})",
       R"({"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.sentence_transformer.modules.pooling.Pooling"})",
       R"({"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.base.modules.normalize.Normalize"})"});
  Put("1_Pooling/config.json",
      R"({"embedding_dimension": 8, "pooling_mode": ["weightedmean", "cls", "lasttoken"], "include_prompt": true})");
  const ModelFolder folder = Folder();
  EXPECT_THAT(folder.pooling(),
              ElementsAre(PoolingMode::kWeightedMean, PoolingMode::kCls, PoolingMode::kLastToken));
  EXPECT_TRUE(folder.normalize());  // though there is no folder 2_Normalize
}

TEST_F(ModelFolderTest, Modules_TransformerInAFolderOfItsOwn) {
  Remove("config.json");
  Remove("model.safetensors");
  Put("0_Transformer/config.json", R"({"model_type": "roberta"})");
  PutWeights("0_Transformer/model.safetensors", {"a"});
  Put("0_Transformer/sentence_roberta_config.json", R"({"max_seq_length": 128})");
  Put("1_Pooling/config.json", R"({"word_embedding_dimension": 8})");
  PutModules({R"({"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"})",
              kOldPooling});
  const ModelFolder folder = Folder();
  EXPECT_EQ(folder.path(), folder_);
  EXPECT_EQ(folder.transformer_path(), folder_ + "/0_Transformer");
  EXPECT_THAT(folder.weight_files(), ElementsAre(folder_ + "/0_Transformer/model.safetensors"));
  EXPECT_EQ(folder.max_seq_length(), 128);
  EXPECT_EQ(folder.model_type(), "roberta");
}

TEST_F(ModelFolderTest, Modules_OfSomebodysOwnPackageAreRefusedByName) {
  const std::string pooling = R"({"name": "1", "path": "1_Pooling", "type": ")";
  for (const char* type :
       {"my_pkg.Pooling", "Pooling", "modeling_x.Pooling", "sentence_transformers.Pooling",
        "my.sentence_transformers.models.Pooling", "sentence_transformers.models.pooling_x.Pooling",
        "sentence_transformers.models.Pooling.Dense"}) {
    PutModules({kOldTransformer, pooling + type + "\"}"});
    EXPECT_THAT(Error(), AllOf(HasSubstr(std::string("unknown module \"") + type + "\""),
                               HasSubstr("modules.json")));
  }
  for (const char* type : {"sentence_transformers.models.Pooling.Pooling",
                           "sentence_transformers.sentence_transformer.modules.Pooling",
                           "sentence_transformers.sentence_transformer.modules.pooling.Pooling"}) {
    PutModules({kOldTransformer, pooling + type + "\"}"});
    EXPECT_TRUE(ModelFolder::Open(folder_).ok()) << type;
  }
  PutModules({R"({"name": "0", "path": "", "type": "my_pkg.Transformer"})", kOldPooling});
  EXPECT_THAT(Error(), HasSubstr("unknown module \"my_pkg.Transformer\""));
}

// Of two modules with one name the library runs one.
TEST_F(ModelFolderTest, Modules_OfOneNameAreRefused) {
  PutModules({R"({"name": "a", "path": "", "type": "sentence_transformers.models.Transformer"})",
              R"({"name": "a", "path": "p", "type": "sentence_transformers.models.Pooling"})"});
  EXPECT_THAT(Error(), HasSubstr("two modules have the name \"a\""));
}

TEST_F(ModelFolderTest, SentenceFiles_RefuseKeysThatChangeVectors) {
  PutModules({kOldTransformer, kOldPooling});
  const std::pair<const char*, const char*> files[] = {
      {"config_sentence_transformers.json", R"({"model_type": "SparseEncoder"})"},
      {"config_sentence_transformers.json", R"({"model_type": "CrossEncoder"})"},
      {"sentence_bert_config.json", R"({"transformer_task": "fill-mask"})"},
      {"sentence_bert_config.json", R"({"module_output_name": "logits"})"},
      {"sentence_bert_config.json", R"({"tokenizer_name_or_path": "other"})"},
      {"sentence_bert_config.json", R"({"processing_kwargs": {"text": {"max_length": 8}}})"},
      {"sentence_bert_config.json", R"({"query_expansion": {"length": 32}})"},
      {"sentence_bert_config.json", R"({"modality_config": {"message": {"method": "forward"}}})"},
      {"sentence_bert_config.json",
       R"({"modality_config": {"text": {"method": "forward", "method_output_name": "logits"}}})"},
      {"sentence_bert_config.json", R"({"tokenizer_args": {"do_lower_case": true}})"},
      {"sentence_bert_config.json", R"({"config_kwargs": {"num_hidden_layers": 2}})"},
      {"sentence_bert_config.json", R"({"model_args": {"revision": "x"}})"},
      {"tokenizer_config.json", R"({"processor_class": "MyProcessor"})"},
      {"tokenizer_config.json", R"({"post_processor": {"type": "ByteLevel"}})"},
  };
  for (const auto& [file, text] : files) {
    Put(file, text);
    const std::string key = nlohmann::json::parse(text).begin().key();
    EXPECT_THAT(Error(), AllOf(HasSubstr(file), HasSubstr(key))) << text;
    Remove(file);
  }
}

TEST_F(ModelFolderTest, SentenceFiles_ServeTheKeysOfSavedModels) {
  PutModules({kOldTransformer, kOldPooling});
  Put("sentence_bert_config.json",
      R"({"max_seq_length": 64, "do_lower_case": false, "transformer_task": "feature-extraction",
          "modality_config": {"text": {"method": "forward",
                                       "method_output_name": "last_hidden_state"}},
          "module_output_name": "token_embeddings", "model_args": {"attn_implementation": "eager"},
          "query_length": 32, "unpad_inputs": true})");
  Put("config_sentence_transformers.json",
      R"({"model_type": "SentenceTransformer", "similarity_fn_name": "dot",
          "default_prompt_name": "query", "prompts": {"query": null}})");
  const ModelFolder folder = Folder();
  EXPECT_EQ(folder.max_seq_length(), 64);
  EXPECT_EQ(folder.default_prompt_name(), "");  // the library's own prompt "query" is empty
  EXPECT_THAT(folder.warnings(), IsEmpty());
  Put("sentence_bert_config.json", R"({"max_length_of_nobody": 1})");
  EXPECT_THAT(Folder().warnings(), ElementsAre(HasSubstr("\"max_length_of_nobody\"")));
}

class PoolingConfigTest : public ModelFolderTest {
 protected:
  void SetUp() override {
    ModelFolderTest::SetUp();
    PutModules({kOldTransformer, kOldPooling});
  }
  std::vector<PoolingMode> Modes(const std::string& config) {
    Put("1_Pooling/config.json", config);
    return Folder().pooling();
  }
  std::string PoolingError(const std::string& config) {
    Put("1_Pooling/config.json", config);
    return Error();
  }
};

TEST_F(PoolingConfigTest, OldKeys_AreConcatenatedInTheLibrarysOrderNotTheFiles) {
  EXPECT_THAT(
      Modes(
          R"({"pooling_mode_lasttoken": true, "pooling_mode_weightedmean_tokens": true, "pooling_mode_mean_sqrt_len_tokens": true,
                        "pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true, "pooling_mode_cls_token": true})"),
      ElementsAre(PoolingMode::kCls, PoolingMode::kMax, PoolingMode::kMean,
                  PoolingMode::kMeanSqrtLen, PoolingMode::kWeightedMean, PoolingMode::kLastToken));
}

TEST_F(PoolingConfigTest, NoModeMeansMean) {
  EXPECT_THAT(Modes(R"({"word_embedding_dimension": 8})"), ElementsAre(PoolingMode::kMean));
  EXPECT_THAT(Modes(R"({"pooling_mode_mean_tokens": false, "pooling_mode_cls_token": false})"),
              ElementsAre(PoolingMode::kMean));
  Remove("1_Pooling");
  EXPECT_THAT(Folder().pooling(), ElementsAre(PoolingMode::kMean));
}

TEST_F(PoolingConfigTest, NewKey_TakesAStringOrAList) {
  EXPECT_THAT(Modes(R"({"pooling_mode": "mean_sqrt_len_tokens"})"),
              ElementsAre(PoolingMode::kMeanSqrtLen));
  EXPECT_THAT(Modes(R"({"pooling_mode": ["mean", "max"]})"),
              ElementsAre(PoolingMode::kMean, PoolingMode::kMax));
}

TEST_F(PoolingConfigTest, AnUnknownModeIsRefused) {
  EXPECT_THAT(PoolingError(R"({"pooling_mode": "attention"})"),
              AllOf(HasSubstr("attention"), HasSubstr("mean_sqrt_len_tokens")));
  EXPECT_THAT(PoolingError(R"({"pooling_mode": []})"), HasSubstr("pooling_mode"));
  EXPECT_THAT(PoolingError(R"({"pooling_mode": [3]})"), HasSubstr("pooling_mode"));
  EXPECT_THAT(PoolingError(R"({"pooling_mode_cls_token": "yes"})"), HasSubstr("true or false"));
  EXPECT_THAT(PoolingError("[]"), HasSubstr("is not a JSON object"));
}

TEST_F(PoolingConfigTest, AWidthThatTheTransformerDoesNotGiveIsRefused) {
  EXPECT_THAT(PoolingError(R"({"word_embedding_dimension": 9})"),
              AllOf(HasSubstr("9 values"), HasSubstr("gives 8")));
  EXPECT_THAT(PoolingError(R"({"embedding_dimension": 9})"), HasSubstr("9 values"));
  Put("config.json", R"({"model_type": "reformer", "hidden_size": 8})");
  EXPECT_THAT(Modes(R"({"word_embedding_dimension": 16})"),
              ElementsAre(PoolingMode::kMean));  // both residual streams
  Put("config.json", R"({"model_type": "led", "d_model": 4})");
  EXPECT_THAT(PoolingError(R"({"embedding_dimension": 8})"), HasSubstr("gives 4"));
}

TEST_F(ModelFolderTest, Modules_AnUnknownOneIsRefusedByName) {
  PutModules({kOldTransformer, kOldPooling,
              R"({"path": "2_LSTM", "type": "sentence_transformers.models.LSTM"})"});
  EXPECT_THAT(Error(), AllOf(HasSubstr("unknown module \"LSTM\""), HasSubstr("modules.json")));
  PutModules({R"({"path": "", "type": "sentence_transformers.models.CLIPModel"})"});
  EXPECT_THAT(Error(), HasSubstr("unknown module \"CLIPModel\""));
}

TEST_F(ModelFolderTest, Modules_AnUnusualOrderIsRefused) {
  for (const std::vector<std::string>& modules : std::vector<std::vector<std::string>>{
           {kOldPooling, kOldTransformer},
           {kOldTransformer, kNormalize, kOldPooling},
           {kOldTransformer, kDense, kOldPooling},
           {kOldTransformer, kOldPooling, kNormalize, kDense},
           {kOldTransformer, kOldPooling, kOldPooling},
           {kOldTransformer, kOldTransformer, kOldPooling},
           {kOldTransformer, kOldPooling, kNormalize, kNormalize}}) {
    PutModules(modules);
    EXPECT_THAT(Error(), HasSubstr("stands in an unusual place"));
  }
}

TEST_F(ModelFolderTest, Modules_WithoutPoolingAreRefused) {
  PutModules({kOldTransformer});
  EXPECT_THAT(Error(), HasSubstr("names no Pooling"));
}

TEST_F(ModelFolderTest, Modules_DropoutDoesNothing) {
  PutModules({kOldTransformer, kOldPooling,
              R"({"path": "2_Dropout", "type": "sentence_transformers.models.Dropout"})"});
  EXPECT_THAT(Folder().pooling(), ElementsAre(PoolingMode::kMean));
}

TEST_F(ModelFolderTest, Modules_OfAnotherFormAreRefused) {
  for (const char* text : {"{}", "[]", "[7]", "3", "[[]]"}) {
    Put("modules.json", text);
    EXPECT_THAT(Error(), HasSubstr("modules.json")) << text;
  }
  PutModules({R"({"path": 7, "type": "sentence_transformers.models.Transformer"})"});
  EXPECT_THAT(Error(), HasSubstr("\"path\" is 7, should be a string"));
}

TEST_F(ModelFolderTest, Modules_MayNotLeaveTheFolder) {
  for (const char* path : {"../other", "/etc", "a/../../b"}) {
    PutModules({std::string(R"({"path": ")") + path +
                R"(", "type": "sentence_transformers.models.Transformer"})"});
    EXPECT_THAT(Error(), HasSubstr("leaves the folder")) << path;
  }
}

class DenseConfigTest : public ModelFolderTest {
 protected:
  void SetUp() override {
    ModelFolderTest::SetUp();
    PutModules({kOldTransformer, kOldPooling, kDense});
    PutWeights("2_Dense/model.safetensors", {"linear.weight"});
  }
  DenseModule Dense(const std::string& rest) {
    Put("2_Dense/config.json", R"({"in_features": 8, "out_features": 4)" + rest + "}");
    const ModelFolder folder = Folder();
    return folder.dense().empty() ? DenseModule() : folder.dense()[0];
  }
  std::string DenseError(const std::string& config) {
    Put("2_Dense/config.json", config);
    return Error();
  }
};

TEST_F(DenseConfigTest, Activation_IsTheLastComponentOfTheClass) {
  EXPECT_EQ(Dense(R"(, "activation_function": "torch.nn.modules.linear.Identity")").activation,
            "Identity");
  EXPECT_EQ(Dense(R"(, "activation_function": "torch.nn.modules.activation.GELU")").activation,
            "GELU");
  EXPECT_EQ(Dense("").activation, "Tanh");  // the library's default
  EXPECT_EQ(Dense(R"(, "activation_function": null)").activation, "Identity");
}

TEST_F(DenseConfigTest, BiasAndResidual) {
  EXPECT_TRUE(Dense("").bias);
  EXPECT_FALSE(Dense(R"(, "bias": false)").bias);
  EXPECT_FALSE(Dense("").use_residual);
  EXPECT_TRUE(Dense(R"(, "use_residual": true)").use_residual);
}

TEST_F(DenseConfigTest, AnUnsupportedActivationIsRefused) {
  EXPECT_THAT(
      DenseError(
          R"({"in_features": 8, "out_features": 4, "activation_function": "torch.nn.modules.activation.Softplus"})"),
      AllOf(HasSubstr("Softplus"), HasSubstr("Identity, Tanh, ReLU, GELU or SiLU")));
}

// The library would take Tanh for such a function, with a warning.
TEST_F(DenseConfigTest, AnActivationOfSomebodysOwnIsRefused) {
  for (const char* name : {"my_pkg.Tanh", "Tanh", "mytorch.nn.Tanh", "torch.nn.functional.Tanh",
                           "torch.nn.modules.activation.Identity"}) {
    EXPECT_THAT(DenseError(std::string(R"({"in_features": 8, "out_features": 4, )") +
                           R"("activation_function": ")" + name + "\"}"),
                AllOf(HasSubstr(name), HasSubstr("of torch.nn")));
  }
  EXPECT_EQ(Dense(R"(, "activation_function": "torch.nn.Tanh")").activation, "Tanh");
}

TEST_F(DenseConfigTest, BadConfigsAreRefused) {
  EXPECT_THAT(DenseError("{}"), HasSubstr("has no in_features and out_features"));
  EXPECT_THAT(DenseError(R"({"in_features": 8})"),
              HasSubstr("has no in_features and out_features"));
  EXPECT_THAT(DenseError(R"({"in_features": -8, "out_features": 4})"),
              HasSubstr("a whole number, 1 or more"));
  EXPECT_THAT(DenseError(R"({"in_features": 8.5, "out_features": 4})"),
              HasSubstr("a whole number, 1 or more"));
  EXPECT_THAT(DenseError(R"({"in_features": 1e30, "out_features": 4})"),
              HasSubstr("a whole number, 1 or more"));
  EXPECT_THAT(DenseError(R"({"in_features": 18446744073709551615, "out_features": 4})"),
              HasSubstr("a whole number, 1 or more"));
  EXPECT_THAT(DenseError(R"({"in_features": 9, "out_features": 4})"),
              HasSubstr("Dense takes 9 values, what stands before it gives 8"));
  EXPECT_THAT(
      DenseError(
          R"({"in_features": 8, "out_features": 4, "module_output_name": "token_embeddings"})"),
      HasSubstr("token_embeddings"));
}

TEST_F(DenseConfigTest, PickledWeightsAreRefused) {
  Remove("2_Dense/model.safetensors");
  EXPECT_THAT(DenseError(R"({"in_features": 8, "out_features": 4})"),
              AllOf(HasSubstr("2_Dense"), HasSubstr("no model.safetensors")));
}

TEST_F(ModelFolderTest, Prompts_TheDefaultMustExist) {
  PutModules({kOldTransformer, kOldPooling});
  Put("config_sentence_transformers.json",
      R"({"prompts": {"query": "q"}, "default_prompt_name": "passage"})");
  EXPECT_THAT(Error(), AllOf(HasSubstr("passage"), HasSubstr("does not hold")));
  Put("config_sentence_transformers.json",
      R"({"prompts": {"query": "q"}, "default_prompt_name": null})");
  EXPECT_EQ(Folder().default_prompt_name(), "");
  Put("config_sentence_transformers.json", R"({"prompts": ["q"]})");
  EXPECT_THAT(Error(), HasSubstr("\"prompts\""));
  Put("config_sentence_transformers.json", R"({"prompts": {"query": 3}})");
  EXPECT_THAT(Error(), HasSubstr("\"prompts\""));
  Put("config_sentence_transformers.json", R"({"truncate_dim": 9})");
  EXPECT_THAT(Error(), HasSubstr("truncate_dim is 9, the vectors have 8 values"));
}

TEST_F(ModelFolderTest, MaxSeqLength_OfSentenceTransformersWinsOverTheTokenizers) {
  Put("tokenizer_config.json", R"({"model_max_length": 512})");
  EXPECT_EQ(Folder().max_seq_length(), 512);
  Put("sentence_distilbert_config.json", R"({"max_seq_length": 128})");
  EXPECT_EQ(Folder().max_seq_length(), 128);
  Put("sentence_bert_config.json",
      R"({"max_seq_length": 256})");  // the first of the library's list, not of the folder
  EXPECT_EQ(Folder().max_seq_length(), 256);
  Put("sentence_bert_config.json", R"({"max_seq_length": null})");
  EXPECT_EQ(Folder().max_seq_length(), 512);
  Put("sentence_bert_config.json", R"({"max_seq_length": 0})");
  EXPECT_THAT(Error(), HasSubstr("\"max_seq_length\" is 0"));
}

TEST_F(ModelFolderTest, MaxSeqLength_OfTenToTheThirtiethIsUnset) {
  Put("tokenizer_config.json", R"({"model_max_length": 1000000000000000019884624838656})");
  EXPECT_FALSE(Folder().max_seq_length().has_value());
  Put("tokenizer_config.json", R"({"model_max_length": 1e30})");
  EXPECT_FALSE(Folder().max_seq_length().has_value());
  Put("tokenizer_config.json", R"({"model_max_length": "none"})");
  EXPECT_FALSE(Folder().max_seq_length().has_value());
}

// A cache of which a part was not fetched: the names are there, as links to nothing. Without the
// file behind it, each of them would be another model.
TEST_F(ModelFolderTest, ALinkToNothing_IsNeverTakenForAnAbsentFile) {
  PutModules({kOldTransformer, kOldPooling, kDense});
  Put("1_Pooling/config.json", R"({"word_embedding_dimension": 8})");
  Put("2_Dense/config.json", R"({"in_features": 8, "out_features": 2})");
  for (const char* name :
       {"modules.json", "config.json", "model.safetensors", "1_Pooling/config.json",
        "2_Dense/config.json", "2_Dense/model.safetensors", "sentence_bert_config.json",
        "tokenizer_config.json", "config_sentence_transformers.json"}) {
    const std::string path = folder_ + "/" + name, aside = folder_ + "/aside";
    const bool was_there = std::filesystem::exists(path);
    if (was_there) std::filesystem::rename(path, aside);
    std::filesystem::create_symlink("../../blobs/0", path);
    const absl::Status status = ModelFolder::Open(folder_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr(path + ": is a link to ../../blobs/0, which does not exist"));
    std::filesystem::remove(path);
    if (was_there) std::filesystem::rename(aside, path);
    if (std::string_view(name) == "2_Dense/config.json")
      PutWeights("2_Dense/model.safetensors", {});
  }
}

}  // namespace
}  // namespace longspan
