// CommandLineTest: a fixture whose tests run `longspan` in this process against a fake server, with
// files in a folder of their own.
//
// Thread safety: none.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/commands.h"
#include "tests/client/fake_server.h"
#include "tests/temporary_folder.h"

namespace longspan {

struct Outcome {
  int exit_code = 0;
  std::string out;
  std::string err;
};

class CommandLineTest : public testing::Test {
 protected:
  Outcome Run(std::vector<std::string> arguments, const std::string& server = "") {
    arguments.insert(arguments.begin(), "longspan");
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    Outcome outcome;
    outcome.exit_code = RunCommandLine(static_cast<int>(argv.size()), argv.data(),
                                       [&](const std::string& name) -> std::optional<std::string> {
                                         if (const auto found = environment_.find(name);
                                             found != environment_.end())
                                           return found->second;
                                         if (name != "LONGSPAN_SERVER") return std::nullopt;
                                         return server.empty() ? server_.address() : server;
                                       });
    outcome.out = testing::internal::GetCapturedStdout();
    outcome.err = testing::internal::GetCapturedStderr();
    return outcome;
  }
  std::string TextFile(const std::string& name, const std::string& text) const {
    return folder_.WriteText(name, text);
  }

  FakeServer server_;
  TemporaryFolder folder_;
  std::map<std::string, std::string> environment_;  // beside LONGSPAN_SERVER
};

}  // namespace longspan
