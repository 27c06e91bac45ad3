#include "server/start/served_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "core/runtime/compute_threads.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

ServerOptions Options(int64_t replicas, int64_t threads) {
  ServerOptions options;
  options.model = LONGSPAN_FIXTURES "/longformer-windows";
  options.replicas = replicas;
  options.threads = threads;
  return options;
}

TEST(LoadServedModelTest, MeasuresHowToDivideTheCores_WhereNeitherReplicasNorThreadsAreSet) {
  ServerOptions options = Options(0, 0);
  const auto model = LoadServedModel(&options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(options.replicas * options.threads, AvailableCores());
  // A lone text has all cores.
  EXPECT_EQ(ComputeThreads(), model->teams_follow_load ? AvailableCores() : options.threads);
  const int most_threads = SetComputeThreads(AvailableCores());
  EXPECT_EQ(model->team_speeds.size(),
            AvailableCores() > 1 ? TeamCandidates(AvailableCores(), most_threads).size() : 0);
}

TEST(LoadServedModelTest, MeasuresNothing_WhereSettingsDecide) {
  ServerOptions options = Options(3, 2);
  auto model = LoadServedModel(&options);
  if (SetComputeThreads(2) == 2) {
    ASSERT_TRUE(model.ok()) << model.status();
    EXPECT_EQ(options.replicas, 3);
    EXPECT_EQ(options.threads, 2);
    EXPECT_TRUE(model->team_speeds.empty());
    EXPECT_EQ(model->thread_limit, "");
    EXPECT_EQ(ComputeThreads(), 2);
  } else {  // the sanitizer of threads runs under a limit of one
    EXPECT_EQ(std::string(model.status().message()),
              "threads is 2; at most 1 can be had here: OMP_THREAD_LIMIT=1 is set; raise it or ask "
              "for fewer");
  }

  options = Options(0, 1);  // as many replicas as such teams fit into the cores
  model = LoadServedModel(&options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(options.replicas, AvailableCores());
  EXPECT_EQ(options.threads, 1);
  EXPECT_TRUE(model->team_speeds.empty());

  options = Options(1, 0);
  model = LoadServedModel(&options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(options.threads, SetComputeThreads(AvailableCores()));
  EXPECT_TRUE(model->team_speeds.empty());
}

// The published library would read behind the end of the table.
TEST(LoadServedModelTest, RefusesTokenTypesThatTheModelHasNoVectorsFor) {
  TemporaryFolder folder;
  const std::string source = LONGSPAN_FIXTURES "/bert";
  for (const char* file : {"config.json", "model.safetensors"})
    std::filesystem::copy(source + "/" + file, folder.path());
  folder.WriteText("tokenizer_config.json",
                   R"({"tokenizer_class": "PreTrainedTokenizerFast",
                       "model_input_names": ["input_ids", "token_type_ids", "attention_mask"]})");
  folder.WriteText("tokenizer.json",
                   R"({"version": "1.0", "added_tokens": [], "normalizer": null,
                       "pre_tokenizer": {"type": "WhitespaceSplit"}, "decoder": null,
                       "post_processor": {"type": "TemplateProcessing",
                         "single": [{"Sequence": {"id": "A", "type_id": 2}}],
                         "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                                  {"Sequence": {"id": "B", "type_id": 1}}],
                         "special_tokens": {}},
                       "model": {"type": "WordLevel", "unk_token": "?",
                                 "vocab": {"?": 0, "a": 1}}})");
  ServerOptions options = Options(1, 1);
  options.model = folder.path();
  const absl::Status status = LoadServedModel(&options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("gives token type 2; allowed: 0 to 1 (type_vocab_size"));
}

TEST(LoadServedModelTest, TheNameIsTheFolders_WhateverItsConfigSays_OrTheSettings) {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/models--org--name/snapshots/0a1b";
  std::filesystem::create_directories(path);
  std::filesystem::copy(LONGSPAN_FIXTURES "/longformer-windows", path);
  std::ifstream file(path + "/config.json");
  nlohmann::json config = nlohmann::json::parse(file);
  config["_name_or_path"] = "nreimers/another";
  std::ofstream(path + "/config.json") << config;
  ServerOptions options = Options(1, 1);
  options.model = path;
  auto model = LoadServedModel(&options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->info.name, "org/name");
  options = Options(1, 1);
  options.model_name = "my model\nof today";
  model = LoadServedModel(&options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->info.name, "my model?of today");
}

// What GetModelInfo tells comes from ServedModel::info.
TEST(LoadServedModelTest, TheModelTellsTheTypeInForce_NotAuto) {
  ServerOptions options;
  options.model = LONGSPAN_FIXTURES "/longformer-windows";
  options.dtype = "auto";
  const auto loaded = LoadServedModel(&options);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(std::string(DataTypeName(loaded->info.dtype)), AnyOf("bfloat16", "float32"));
  options.dtype = "float32";
  const auto float32 = LoadServedModel(&options);
  ASSERT_TRUE(float32.ok()) << float32.status();
  EXPECT_EQ(float32->info.dtype, DataType::kFloat32);
}

// One line before anything else is looked at: the folder is not there either.
TEST(LoadServedModelTest, ADeviceThatIsNotThere_IsRefused) {
  ServerOptions options;
  options.model = "/nowhere";
  options.device = "cuda:1";
  const absl::Status status = LoadServedModel(&options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("device is 'cuda:1': the CUDA plugin"));
}

TEST(LoadServedModelTest, Auto_IsTheCpu_WhereNoCardCanBeUsed_AndSaysWhy) {
  ServerOptions options = Options(1, 1);
  options.device = "auto";
  const auto model = LoadServedModel(&options);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->info.device, "cpu");
  EXPECT_FALSE(model->on_card);
  EXPECT_THAT(model->why_cpu, HasSubstr("the CUDA plugin liblongspan_cuda.so cannot be loaded"));
  EXPECT_EQ(options.max_batch_tokens, 16384);
  options.device = "cpu";
  EXPECT_EQ(LoadServedModel(&options)->why_cpu, "");
}

TEST(LoadServedModelTest, Float16_NeedsACard) {
  ServerOptions options = Options(1, 1);
  options.dtype = "float16";
  EXPECT_EQ(LoadServedModel(&options).status().message(),
            "dtype is 'float16', which needs a card (device cuda); allowed on device cpu: float32, "
            "bfloat16, int8, auto");
}

// A type that the processor lacks is refused before listening, with what to do instead.
TEST(LoadServedModelTest, ATypeIsThereOrRefusedByName) {
  for (const std::string dtype : {"bfloat16", "int8"}) {
    ServerOptions options;
    options.model = LONGSPAN_FIXTURES "/bert";
    options.dtype = dtype;
    const auto loaded = LoadServedModel(&options);
    if (loaded.ok()) {
      EXPECT_EQ(DataTypeName(loaded->info.dtype), dtype);
    } else {
      EXPECT_EQ(loaded.status().code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_THAT(std::string(loaded.status().message()),
                  HasSubstr("dtype " + dtype + " needs a processor with"));
      EXPECT_THAT(std::string(loaded.status().message()), HasSubstr("use float32"));
    }
  }
}

}  // namespace
}  // namespace longspan
