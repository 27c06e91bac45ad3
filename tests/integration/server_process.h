// ServerProcess: longspan-server as a process of its own, on a free port. The destructor kills it.
//
// Thread safety: none; one thread uses it.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <functional>
#include <regex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace longspan {

class ServerProcess {
 public:
  // `in_child` runs in the new process just before the program starts: it makes the surroundings in
  // which the program finds itself. `program` takes the place of the server's path, as the first
  // words of the command line.
  explicit ServerProcess(const std::vector<std::string>& extra,
                         const std::function<void()>& in_child = {},
                         std::vector<std::string> program = {LONGSPAN_BINARY_DIR
                                                             "/longspan-server"}) {
    int out[2];
    EXPECT_EQ(pipe(out), 0);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(out[1], STDOUT_FILENO);
      close(out[0]);
      close(out[1]);
      std::vector<std::string> arguments = std::move(program);
      const auto given = [&extra](const char* flag) {
        return std::find(extra.begin(), extra.end(), flag) != extra.end();
      };
      if (!given("--listen")) arguments.insert(arguments.end(), {"--listen", "127.0.0.1:0"});
      if (!given("--http")) arguments.insert(arguments.end(), {"--http", "off"});
      arguments.insert(arguments.end(), extra.begin(), extra.end());
      if (!given("--log-level")) arguments.insert(arguments.end(), {"--log-level", "error"});
      std::vector<char*> argv;
      for (std::string& argument : arguments) argv.push_back(argument.data());
      argv.push_back(nullptr);
      if (in_child) in_child();
      execv(argv[0], argv.data());
      _exit(127);
    }
    close(out[1]);
    output_ = fdopen(out[0], "r");
  }
  ~ServerProcess() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      Wait();
    }
    fclose(output_);
  }

  // Waits for the line that names the port; 0 = the process ended before it.
  int Port() {
    char line[4096];
    while (fgets(line, sizeof(line), output_) != nullptr) {
      std::cmatch match;
      if (std::regex_search(line, match, std::regex("gRPC on 127.0.0.1:([0-9]+)")))
        return std::stoi(match[1]);
    }
    return 0;
  }
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  void Signal(int signal) const { kill(pid_, signal); }
  // Bytes of its memory that are resident now.
  int64_t ResidentBytes() const {
    std::ifstream status(absl::StrCat("/proc/", pid_, "/status"));
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6)) << 10;
    }
    return 0;
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
  FILE* output_ = nullptr;
};

}  // namespace longspan
