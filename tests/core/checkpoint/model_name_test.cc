// The name of a model is the one that its users know.
#include "core/checkpoint/model_name.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace longspan {
namespace {

TEST(ModelNameTest, IsThatOfTheFolder_HoweverItIsWritten) {
  for (const char* folder : {"/models/all-MiniLM-L6-v2", "/models/all-MiniLM-L6-v2/",
                             "/models//all-MiniLM-L6-v2/.", "models/other/../all-MiniLM-L6-v2"})
    EXPECT_EQ(ModelName(folder), "all-MiniLM-L6-v2") << folder;
  EXPECT_EQ(ModelName("."), std::filesystem::current_path().filename().string());
}

TEST(ModelNameTest, IsThatOfTheRepository_InTheHubsCache) {
  const std::string hub = "/models/huggingface/hub/";
  EXPECT_EQ(
      ModelName(hub + "models--sentence-transformers--all-MiniLM-L6-v2/snapshots/c9745ed1d9f"),
      "sentence-transformers/all-MiniLM-L6-v2");
  EXPECT_EQ(ModelName(hub + "models--gpt2/snapshots/607a30d783df/"), "gpt2");
  // Something else that is named so.
  EXPECT_EQ(ModelName("/data/snapshots/today"), "today");
  EXPECT_EQ(ModelName(hub + "models--org--name"), "models--org--name");
}

TEST(ModelNameTest, IsOneLineOfUtf8_WhateverTheFolderIsCalled) {
  EXPECT_EQ(ModelName("/models/a\nb"), "a?b");
  EXPECT_EQ(ModelName("/models/caf\xe9"), "caf\xef\xbf\xbd");
}

}  // namespace
}  // namespace longspan
