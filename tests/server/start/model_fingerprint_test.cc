// Which changes of a model's folder make another model of it, and which do not.
#include "server/start/model_fingerprint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <set>
#include <string>

#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

// The fingerprint of a folder of three files, once `change` has been made.
std::string FingerprintAfter(const std::function<void(const TemporaryFolder&)>& change) {
  const TemporaryFolder folder;
  folder.WriteText("config.json", "{}");
  folder.WriteText("model.safetensors", "weights");
  folder.WriteText("1_Pooling/config.json", "pooling");
  change(folder);
  const auto fingerprint = ModelFingerprint(folder.path());
  EXPECT_TRUE(fingerprint.ok()) << fingerprint.status();
  return fingerprint.value_or("");
}
void Nothing(const TemporaryFolder& /*folder*/) {}

TEST(ModelFingerprintTest, IsASha256_TheSameWhereverTheFolderLies) {
  EXPECT_THAT(FingerprintAfter(Nothing), MatchesRegex("[0-9a-f]{64}"));
  EXPECT_EQ(FingerprintAfter(Nothing), FingerprintAfter(Nothing));
}

TEST(ModelFingerprintTest, EachFileOfTheModelCounts_WithItsNameAndPlace) {
  const std::set<std::string> different = {
      FingerprintAfter(Nothing),
      FingerprintAfter([](const auto& folder) { folder.WriteText("config.json", "{ }"); }),
      FingerprintAfter(
          [](const auto& folder) { folder.WriteText("model.safetensors", "weightz"); }),
      FingerprintAfter([](const auto& folder) { folder.WriteText("1_Pooling/config.json", "p"); }),
      FingerprintAfter([](const auto& folder) { folder.WriteText("tokenizer.json", ""); }),
      FingerprintAfter([](const auto& folder) { folder.WriteText("vocab.txt", ""); }),
      FingerprintAfter([](const auto& folder) { folder.WriteText("spiece.model", ""); }),
      FingerprintAfter([](const auto& folder) { folder.WriteText("2_Dense/config.json", ""); }),
      FingerprintAfter(
          [](const auto& folder) { std::filesystem::remove(folder.path() + "/config.json"); }),
      FingerprintAfter([](const auto& folder) {
        std::filesystem::rename(folder.path() + "/1_Pooling", folder.path() + "/1_Pool");
      }),
  };
  EXPECT_EQ(different.size(), 10u);
}

// What one file ends with is not what the next one begins with.
TEST(ModelFingerprintTest, WhereFilesEnd_Counts) {
  const auto with = [](const char* first, const char* second) {
    return FingerprintAfter([&](const TemporaryFolder& folder) {
      folder.WriteText("a.txt", first);
      folder.WriteText("b.txt", second);
    });
  };
  EXPECT_NE(with("one", "two"), with("onet", "wo"));
  EXPECT_NE(with("one", ""), with("", "one"));
  EXPECT_EQ(with("one", "two"), with("one", "two"));
}

TEST(ModelFingerprintTest, WhatElseLiesThere_CountsNothing) {
  const std::string plain = FingerprintAfter(Nothing);
  for (const char* other : {"README.md", "pytorch_model.bin", ".gitattributes", "onnx/model.onnx",
                            "config.json.bak", "json"}) {
    EXPECT_EQ(FingerprintAfter([&](const auto& folder) { folder.WriteText(other, "more"); }), plain)
        << other;
  }
  EXPECT_EQ(FingerprintAfter([](const auto& folder) {
              std::filesystem::create_directory(folder.path() + "/folder.json");
            }),
            plain);
}

// As a cache of the Hugging Face hub keeps them.
TEST(ModelFingerprintTest, LinksAreWhatTheyPointTo) {
  const TemporaryFolder elsewhere;
  const std::string blob = elsewhere.WriteText("blob", "weights");
  EXPECT_EQ(FingerprintAfter([&](const TemporaryFolder& folder) {
              std::filesystem::remove(folder.path() + "/model.safetensors");
              std::filesystem::create_symlink(blob, folder.path() + "/model.safetensors");
            }),
            FingerprintAfter(Nothing));
}

TEST(ModelFingerprintTest, AFileOfSeveralBlocks_IsReadToItsEnd) {
  const std::string large((size_t{3} << 20) + 17, 'x');
  const auto with = [](const std::string& text) {
    return FingerprintAfter([&](const auto& folder) { folder.WriteText("large.json", text); });
  };
  std::string other = large;
  other.back() = 'y';
  EXPECT_NE(with(large), with(other));
  EXPECT_NE(with(large), with(large.substr(1)));
}

TEST(ModelFingerprintTest, AFolderThatIsNotThere_IsNamed) {
  const absl::Status status = ModelFingerprint("/nowhere/model").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nowhere/model cannot be read"));
}

}  // namespace
}  // namespace longspan
