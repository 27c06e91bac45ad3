#include "server/rpc/watched_files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Change = WatchedFiles::Change;
namespace fs = std::filesystem;

class WatchedFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Write("a", "one");
    Write("b", "two");
    ASSERT_TRUE(files_.Load().ok());
  }
  std::string Write(const std::string& name, const std::string& text) {
    return folder_.WriteText(name, text);
  }

  TemporaryFolder folder_;
  std::vector<WatchedFiles::Contents> taken_;
  std::string refuse_;  // content that cannot be used
  WatchedFiles files_{{{"first", folder_.path() + "/a"}, {"second", folder_.path() + "/b"}},
                      [this](const WatchedFiles::Contents& contents) {
                        for (const std::string& content : contents) {
                          if (!refuse_.empty() && content == refuse_)
                            return absl::InvalidArgumentError("bad content");
                        }
                        taken_.push_back(contents);
                        return absl::OkStatus();
                      }};
};

TEST_F(WatchedFilesTest, Load_TakesTheContents) {
  EXPECT_THAT(taken_, ElementsAre(ElementsAre("one", "two")));
  EXPECT_EQ(files_.Look().change, Change::kNone);
}

TEST_F(WatchedFilesTest, AChange_IsTakenAtTheSecondLookThatSeesIt) {
  Write("a", "new");
  EXPECT_EQ(files_.Look().change, Change::kPending);
  EXPECT_EQ(files_.Look().change, Change::kTaken);
  EXPECT_THAT(taken_.back(), ElementsAre("new", "two"));
  EXPECT_EQ(files_.Look().change, Change::kNone);
  EXPECT_EQ(files_.num_taken(), 1);
}

TEST_F(WatchedFilesTest, FilesSwappedOneAfterTheOther_AreTakenTogether) {
  Write("a", "A");
  EXPECT_EQ(files_.Look().change, Change::kPending);
  Write("b", "B");
  EXPECT_EQ(files_.Look().change, Change::kPending);
  EXPECT_EQ(files_.Look().change, Change::kTaken);
  EXPECT_THAT(taken_.back(), ElementsAre("A", "B"));
  EXPECT_EQ(taken_.size(), 2u);
}

TEST_F(WatchedFilesTest, AtOnce_TakesWhatStandsStill) {
  Write("b", "B");
  EXPECT_EQ(files_.Look(/*at_once=*/true).change, Change::kTaken);
}

// A clock that is set back, or a tool that keeps the time of change, hides nothing.
TEST_F(WatchedFilesTest, TheContentDecides_NotTheTimeOfChangeNorTheSize) {
  const fs::path path = folder_.path() + "/a";
  const auto time = fs::last_write_time(path);
  for (const auto& when :
       {time, time - std::chrono::hours(1), time - std::chrono::hours(24 * 365)}) {
    const std::string text = taken_.back().front() == "two" ? "ten" : "two";
    Write("a", text);
    fs::last_write_time(path, when);
    files_.Look();
    EXPECT_EQ(files_.Look().change, Change::kTaken);
    EXPECT_EQ(taken_.back().front(), text);
  }
  // And the same content with a new time is no change.
  fs::last_write_time(path, time + std::chrono::hours(1));
  EXPECT_EQ(files_.Look().change, Change::kNone);
}

TEST_F(WatchedFilesTest, WhatCannotBeUsed_IsToldOnce_CountedAtEachLook_AndTakenOnceItIsMended) {
  refuse_ = "worse";
  Write("a", "worse");
  EXPECT_EQ(files_.Look().change, Change::kPending);
  const WatchedFiles::Seen first = files_.Look();
  EXPECT_EQ(first.change, Change::kRefused);
  EXPECT_EQ(first.why.message(), "bad content");
  EXPECT_TRUE(first.is_news);
  EXPECT_FALSE(files_.Look().is_news);
  EXPECT_EQ(files_.num_refused(), 2);
  // What is refused today may be taken tomorrow, as a certificate that is not valid yet.
  refuse_.clear();
  EXPECT_EQ(files_.Look().change, Change::kTaken);
  EXPECT_THAT(taken_.back(), ElementsAre("worse", "two"));
}

TEST_F(WatchedFilesTest, AFileThatIsGone_NamesItsSettingAndPath) {
  fs::remove(folder_.path() + "/b");
  const WatchedFiles::Seen seen = files_.Look();
  EXPECT_EQ(seen.change, Change::kRefused);
  EXPECT_EQ(seen.why.message(), absl::StrCat("second ", folder_.path(),
                                             "/b cannot be read: No such file or directory"));
  EXPECT_EQ(taken_.size(), 1u);
  Write("b", "two");  // as before: nothing has changed
  EXPECT_EQ(files_.Look().change, Change::kNone);
}

// Kubernetes mounts a secret as links into a folder ..data, itself a link, and swaps that link.
TEST(WatchedFilesLinksTest, AFolderThatIsSwappedByALink) {
  const TemporaryFolder folder;
  folder.WriteText("..1/a", "one");
  folder.WriteText("..2/a", "two");
  fs::create_directory_symlink("..1", folder.path() + "/..data");
  fs::create_symlink("..data/a", folder.path() + "/a");
  std::string taken;
  WatchedFiles files({{"a", folder.path() + "/a"}}, [&](const WatchedFiles::Contents& contents) {
    taken = contents.front();
    return absl::OkStatus();
  });
  ASSERT_TRUE(files.Load().ok());
  fs::create_directory_symlink("..2", folder.path() + "/..next");
  fs::rename(folder.path() + "/..next", folder.path() + "/..data");
  files.Look();
  EXPECT_EQ(files.Look().change, Change::kTaken);
  EXPECT_EQ(taken, "two");
}

TEST(ReadSmallFileTest, WhatIsNoSmallFile_IsAnErrorAndNeverHangs) {
  const TemporaryFolder folder;
  const auto why = [](const std::string& path) {
    return std::string(ReadSmallFile(path).status().message());
  };
  EXPECT_EQ(why(folder.path()), "is a folder");
  EXPECT_EQ(why("/dev/zero"), "is not a regular file");
  ASSERT_EQ(mkfifo((folder.path() + "/pipe").c_str(), 0600), 0);
  EXPECT_EQ(why(folder.path() + "/pipe"), "is not a regular file");
  EXPECT_EQ(why(folder.path() + "/none"), "cannot be read: No such file or directory");
  folder.WriteText("large", std::string((1 << 20) + 1, 'x'));
  EXPECT_THAT(why(folder.path() + "/large"), HasSubstr("more than 1048576 bytes"));
  if (geteuid() != 0) {  // root may read everything
    chmod(folder.WriteText("secret", "x").c_str(), 0);
    EXPECT_EQ(why(folder.path() + "/secret"), "cannot be read: Permission denied");
  }
  EXPECT_EQ(*ReadSmallFile(folder.WriteText("small", "x\n")), "x\n");
}

}  // namespace
}  // namespace longspan
