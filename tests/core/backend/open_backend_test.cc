#include "core/backend/open_backend.h"

#include <gmock/gmock.h>

#include <fstream>
#include <string>

#include "core/backend/backend.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// tests/core/backend/fake_plugin.cc lies beside this program: cards 0 and 1 "are there", card 2
// says what is missing, in two lines.
constexpr char kFakePlugin[] = "liblongspan_fake_plugin.so";

std::string ErrorOf(const std::string& device, const BackendPlugin& plugin,
                    absl::StatusCode code = absl::StatusCode::kFailedPrecondition) {
  const auto backend = OpenBackend(device, plugin);
  EXPECT_EQ(backend.status().code(), code) << backend.status();
  EXPECT_THAT(std::string(backend.status().message()), Not(HasSubstr("\n"))) << "one line";
  return std::string(backend.status().message());
}

TEST(OpenBackend, Cpu_IsNoBackend_AndOpensNothing) {
  const auto backend = OpenBackend("cpu", {.library = "/nowhere/at_all.so"});
  ASSERT_TRUE(backend.ok()) << backend.status();
  EXPECT_EQ(*backend, nullptr);
}

TEST(OpenBackend, OtherNames_AreRefused) {
  for (const std::string device :
       {"", "gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda: 1", "cuda:99999999999",
        "cuda:0,1", "cpu:0", "auto:0", "cuda:+1"}) {
    const std::string error = ErrorOf(device, {}, absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(error, HasSubstr("allowed: cpu, cuda, cuda:N, auto")) << device;
  }
  EXPECT_THAT(ErrorOf("cu\nda", {}, absl::StatusCode::kInvalidArgument), HasSubstr("cu\\nda"));
}

TEST(OpenBackend, WithoutThePlugin_SaysSo) {
  for (const std::string device : {"cuda", "cuda:3"}) {
    EXPECT_THAT(ErrorOf(device, {.library = "liblongspan_not_there.so"}),
                AllOf(HasSubstr("device is '" + device + "'"),
                      HasSubstr("the CUDA plugin liblongspan_not_there.so cannot be loaded"),
                      HasSubstr("beside the program")));
  }
}

TEST(OpenBackend, Auto_WithoutThePlugin_IsTheCpu_AndSaysWhy) {
  std::string why;
  for (std::string* const why_cpu : {static_cast<std::string*>(nullptr), &why}) {
    const auto backend = OpenBackend("auto", {.library = "liblongspan_not_there.so"}, why_cpu);
    ASSERT_TRUE(backend.ok()) << backend.status();
    EXPECT_EQ(*backend, nullptr);
  }
  EXPECT_THAT(why, AllOf(HasSubstr("the CUDA plugin liblongspan_not_there.so cannot be loaded"),
                         Not(HasSubstr("\n"))));
}

TEST(OpenBackend, WhereACardIsNotWanted_OrIsFound_ThereIsNothingToSay) {
  std::string why = "as it was";
  ASSERT_TRUE(OpenBackend("cpu", {.library = "liblongspan_not_there.so"}, &why).ok());
  ASSERT_TRUE(OpenBackend("auto", {.library = kFakePlugin}, &why).ok());
  ASSERT_FALSE(OpenBackend("cuda", {.library = "liblongspan_not_there.so"}, &why).ok());
  EXPECT_EQ(why, "as it was");
}

TEST(SplitDevices, NamesEachDevice_BeforeAnythingIsOpened) {
  for (const char* device : {"cpu", "auto", "cuda", "cuda:0", "cuda:1023"})
    EXPECT_THAT(*SplitDevices(device), ElementsAre(device));
  EXPECT_THAT(*SplitDevices("cuda:2,0,11"), ElementsAre("cuda:2", "cuda:0", "cuda:11"));
  for (const std::string devices :
       {"", "gpu", "cuda:", "cuda:1024", "cuda:-1", "auto:0", "cpu,cpu", "cuda:0,", "cuda:,1",
        "cuda:1,1", "cuda,0", "cuda:0,cuda:1", "cuda:0, 1"}) {
    EXPECT_EQ(SplitDevices(devices).status().message(),
              "device is '" + devices + "'; allowed: cpu, cuda, cuda:N, cuda:N,M,..., auto");
  }
}

TEST(OpenBackend, AFileThatIsNoLibrary_IsNamed) {
  TemporaryFolder folder;
  folder.WriteText("plugin.so", "no library");
  EXPECT_THAT(ErrorOf("cuda", {.library = folder.path() + "/plugin.so"}), HasSubstr("plugin.so"));
}

// The C library is one, but no plugin.
TEST(OpenBackend, AnotherLibrary_IsNoPlugin) {
  EXPECT_THAT(ErrorOf("cuda", {.library = "libc.so.6"}),
              HasSubstr("libc.so.6 is no plugin of longspan: it has no LongspanOpenBackend"));
}

TEST(OpenBackend, ThePluginBesideTheProgram_Opens) {
  for (const auto& [device, name] :
       {std::pair("cuda", "fake:0"), std::pair("cuda:1", "fake:1"), std::pair("auto", "fake:0")}) {
    const auto backend = OpenBackend(device, {.library = kFakePlugin});
    ASSERT_TRUE(backend.ok()) << backend.status();
    ASSERT_NE(*backend, nullptr);
    EXPECT_EQ((*backend)->name(), name);
  }
}

TEST(OpenBackend, WhatThePluginMisses_IsSaidInOneLine) {
  EXPECT_EQ(ErrorOf("cuda:2", {.library = kFakePlugin}),
            "device is 'cuda:2': the driver knows 2 cards, 0 and 1; card 2 is not there");
}

}  // namespace
}  // namespace longspan
