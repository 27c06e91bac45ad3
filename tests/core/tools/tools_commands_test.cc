// Runs longspan-model as people run it: exit codes, one line of error, --help of every command.
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/golden/formula_checkpoint.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

struct ToolRun {
  int code = 0;
  std::string output;  // both streams
};

ToolRun Tool(const std::string& arguments) {
  const std::string command =
      std::string(LONGSPAN_BINARY_DIR) + "/longspan-model " + arguments + " 2>&1";
  std::FILE* pipe = popen(command.c_str(), "r");
  ToolRun run;
  std::array<char, 4096> buffer;
  for (size_t n = 0; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    run.output.append(buffer.data(), n);
  const int status = pclose(pipe);
  run.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return run;
}

void ExpectOneLineError(const std::string& arguments, const std::string& says) {
  const ToolRun run = Tool(arguments);
  EXPECT_EQ(run.code, 1) << arguments << "\n" << run.output;
  EXPECT_THAT(run.output, AllOf(StartsWith("longspan-model: "), HasSubstr(says), EndsWith("\n")))
      << arguments;
  EXPECT_EQ(std::count(run.output.begin(), run.output.end(), '\n'), 1) << run.output;
}

const std::string kFixtures = LONGSPAN_FIXTURES;

TEST(ToolsCommandLine, EveryCommandHasHelpWithItsExitCodes) {
  const ToolRun all = Tool("--help");
  EXPECT_EQ(all.code, 0);
  for (const std::string command : {"convert", "inspect", "mask", "quantize"}) {
    EXPECT_THAT(all.output, HasSubstr(command));
    const ToolRun run = Tool(command + " --help");
    EXPECT_EQ(run.code, 0);
    EXPECT_THAT(run.output, HasSubstr("model folder"));
    EXPECT_THAT(run.output, HasSubstr("Exit codes: 0 done, 1"));
  }
}

TEST(ToolsCommandLine, WrongUsageIsAHundredOrMore) {
  EXPECT_GE(Tool("").code, 100);
  EXPECT_GE(Tool("fly").code, 100);
  EXPECT_GE(Tool("mask " + kFixtures + "/bert").code, 100) << "no output named";
  EXPECT_GE(Tool("inspect " + kFixtures + "/bert --dtype fp8 --no-measure").code, 1);
}

TEST(ToolsCommandLine, MaskDrawsSvgAndPngByTheEnding) {
  const TemporaryFolder folder;
  for (const std::string ending : {"svg", "png"}) {
    const std::string picture = folder.path() + "/mask." + ending;
    const ToolRun run =
        Tool("mask " + kFixtures + "/longformer-windows --tokens 40 --global 0,8 -o " + picture);
    EXPECT_EQ(run.code, 0) << run.output;
    EXPECT_GT(std::filesystem::file_size(picture), 1000u);
  }
}

TEST(ToolsCommandLine, MaskErrorsSayWhatGotAndAllowed) {
  const std::string model = "mask " + kFixtures + "/longformer-windows ";
  ExpectOneLineError(model + "-o mask.gif",
                     "output is 'mask.gif'; allowed: a file name that ends in .svg or .png");
  ExpectOneLineError(model + "--tokens 500 -o mask.svg", "tokens is 500; allowed: 1 to 101");
  ExpectOneLineError(model + "--tokens 20 --global 20 -o mask.svg",
                     "global is 20; allowed: 0 to 19");
  ExpectOneLineError(model + "--global 0:8 -o mask.svg",
                     "global is '0:8'; allowed: positions with commas");
  ExpectOneLineError(model + "-o /nowhere/mask.svg", "/nowhere/mask.svg: cannot be written");
  ExpectOneLineError(model + "-o /nowhere/mask.png", "/nowhere/mask.png: cannot be written");
  ExpectOneLineError("mask " + kFixtures + "/bert --global 0 -o mask.svg",
                     "bert has no global attention");
  ExpectOneLineError("mask /nowhere -o mask.svg", "/nowhere: no such folder");
}

// Both would copy a folder into itself until names get too long or the disk is full.
TEST(ToolsCommandLine, ACopyThatWouldHoldItselfIsRefused) {
  const TemporaryFolder folder;
  const std::string model = folder.path() + "/model";
  std::filesystem::copy(kFixtures + "/bert", model);
  ExpectOneLineError("quantize " + model + " " + model + "/int8",
                     model + "/int8: lies in the model's folder");
  EXPECT_FALSE(std::filesystem::exists(model + "/int8"));
  std::filesystem::create_symlink("..", model + "/up");
  ExpectOneLineError("quantize " + model + " " + folder.path() + "/copy",
                     model + "/up: is a link to a folder that it lies in");
}

TEST(ToolsCommandLine, OtherCommandsFailWithOneLineToo) {
  const TemporaryFolder folder;
  folder.WriteText("precious.txt", "keep");
  ExpectOneLineError("convert " + kFixtures + "/bert " + folder.path(),
                     "is not empty; name a new folder");
  ExpectOneLineError("quantize " + kFixtures + "/bert " + folder.path(),
                     "is not empty; name a new folder");
  ExpectOneLineError("inspect /nowhere", "/nowhere: no such folder");
  ExpectOneLineError("inspect " + kFixtures + "/bert --dtype fp8",
                     "dtype is 'fp8'; allowed: float32, bfloat16, int8, auto");
}

}  // namespace
}  // namespace longspan
