#include "server/rpc/key_ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(KeyRingTest, WithoutAFileEverybodyIsLetIn) {
  KeyRing keys("");
  EXPECT_TRUE(keys.Load().ok());
  EXPECT_TRUE(keys.Check("").ok());
  EXPECT_TRUE(keys.Check("Bearer anything").ok());
}

TEST(KeyRingTest, AKeyALine_SpacesAndCommentsDoNotCount) {
  const TemporaryFolder folder;
  KeyRing keys(folder.WriteText("keys", "# comment\n\n  one \r\ntwo"));
  ASSERT_TRUE(keys.Load().ok());
  EXPECT_TRUE(keys.Check("Bearer one").ok());
  EXPECT_TRUE(keys.Check("Bearer two").ok());
  for (const char* wrong : {"", "one", "bearer one", "Bearer ", "Bearer on", "Bearer onee",
                            "Bearer # comment", "Basic one"}) {
    const absl::Status refused = keys.Check(wrong);
    EXPECT_TRUE(absl::IsUnauthenticated(refused)) << wrong;
    EXPECT_THAT(std::string(refused.message()), Not(HasSubstr("two"))) << "no key is told";
  }
}

TEST(KeyRingTest, AByteOrderMarkBelongsToNoKey) {
  const TemporaryFolder folder;
  KeyRing keys(folder.WriteText("keys", "\xEF\xBB\xBFone\r\ntwo\r\n"));
  ASSERT_TRUE(keys.Load().ok());
  EXPECT_TRUE(keys.Check("Bearer one").ok());
  EXPECT_TRUE(keys.Check("Bearer two").ok());
}

TEST(KeyRingTest, AFileWithoutAKey_IsRefusedAtTheStart) {
  const TemporaryFolder folder;
  EXPECT_TRUE(absl::IsInvalidArgument(KeyRing(folder.WriteText("keys", "# none\n")).Load()));
  EXPECT_TRUE(absl::IsInvalidArgument(KeyRing(folder.path() + "/nothing").Load()));
}

TEST(KeyRingTest, AChangedFileIsReadAgain_AnEmptyOneKeepsTheOldKeys) {
  const TemporaryFolder folder;
  const std::string path = folder.WriteText("keys", "old\n");
  const auto written = std::filesystem::last_write_time(path);
  // The first Check of a KeyRing looks at the file, so each step takes a new one.
  const auto check_after = [&](const std::string& content, const char* key) {
    folder.WriteText("keys", "old\n");
    std::filesystem::last_write_time(path, written);
    KeyRing keys(path);
    EXPECT_TRUE(keys.Load().ok());
    folder.WriteText("keys", content);
    std::filesystem::last_write_time(path, written + std::chrono::seconds(5));
    return keys.Check(key);
  };
  EXPECT_TRUE(check_after("new\n", "Bearer new").ok());
  EXPECT_TRUE(absl::IsUnauthenticated(check_after("new\n", "Bearer old")));
  EXPECT_TRUE(check_after("", "Bearer old").ok());
}

}  // namespace
}  // namespace longspan
