#include "server/rpc/key_ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Change = WatchedFiles::Change;

bool LetsIn(const KeyRing& keys, const std::string& key) {
  return keys.Check(absl::StrCat("Bearer ", key)).ok();
}

TEST(KeyRingTest, WithoutAFileEverybodyIsLetIn) {
  KeyRing keys("");
  EXPECT_TRUE(keys.Load().ok());
  EXPECT_TRUE(keys.Check("").ok());
  EXPECT_TRUE(keys.Check("Bearer anything").ok());
  EXPECT_EQ(keys.Look().change, Change::kNone);
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

TEST(KeyRingTest, AKeyMayHaveAName_WhichIsToldToWhoAsks) {
  const TemporaryFolder folder;
  KeyRing keys(folder.WriteText("keys", "search-team  one\ntwo\nbatch@night\tthree\n"));
  ASSERT_TRUE(keys.Load().ok());
  for (const auto& [key, named] :
       {std::pair("one", "search-team"), {"two", ""}, {"three", "batch@night"}}) {
    std::string name = "before";
    EXPECT_TRUE(keys.Check(absl::StrCat("Bearer ", key), &name).ok());
    EXPECT_EQ(name, named);
  }
  EXPECT_FALSE(LetsIn(keys, "search-team"));
  EXPECT_FALSE(LetsIn(keys, "search-team  one"));
}

TEST(KeyRingTest, ALineThatIsNone_IsNamedByNumber_WithoutItsText) {
  const TemporaryFolder folder;
  for (const char* text : {"good\n\nname key more\n", "good\n\nna:me secret\n"}) {
    const absl::Status status = KeyRing(folder.WriteText("keys", text)).Load();
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr("line 3"), Not(HasSubstr("key more")), Not(HasSubstr("secret"))));
  }
}

TEST(KeyRingTest, AFileWithoutAKey_IsRefusedAtTheStart) {
  const TemporaryFolder folder;
  EXPECT_TRUE(absl::IsInvalidArgument(KeyRing(folder.WriteText("keys", "# none\n")).Load()));
  EXPECT_TRUE(absl::IsInvalidArgument(KeyRing(folder.WriteText("keys", "")).Load()));
  EXPECT_TRUE(absl::IsInvalidArgument(KeyRing(folder.path() + "/nothing").Load()));
}

class ChangedKeysTest : public ::testing::Test {
 protected:
  void Start(const std::string& content) {
    Write(content);
    ASSERT_TRUE(keys_.Load().ok());
  }
  void Write(const std::string& content) { folder_.WriteText("keys", content); }
  // What comes of a change, once it stands still.
  Change After(const std::string& content) {
    Write(content);
    const Change first = keys_.Look().change;
    return first == Change::kPending ? keys_.Look().change : first;
  }

  TemporaryFolder folder_;
  KeyRing keys_{folder_.path() + "/keys"};
};

TEST_F(ChangedKeysTest, NewKeysReplaceTheOldOnes) {
  Start("old\n");
  EXPECT_EQ(After("new\n"), Change::kTaken);
  EXPECT_TRUE(LetsIn(keys_, "new"));
  EXPECT_FALSE(LetsIn(keys_, "old"));
}

TEST_F(ChangedKeysTest, AFileThatIsEmptyOrGone_KeepsTheKeysBefore) {
  Start("old\n");
  for (const char* empty : {"", "\n", " \r\n\n"}) {
    EXPECT_EQ(After(empty), Change::kRefused);
    EXPECT_TRUE(LetsIn(keys_, "old"));
  }
  std::filesystem::remove(folder_.path() + "/keys");
  EXPECT_EQ(keys_.Look().change, Change::kRefused);
  EXPECT_TRUE(LetsIn(keys_, "old"));
  EXPECT_EQ(After("new\n"), Change::kTaken);
  EXPECT_FALSE(LetsIn(keys_, "old"));
}

TEST_F(ChangedKeysTest, AFileOfCommentsAlone_LetsNobodyIn) {
  Start("old\n");
  EXPECT_EQ(After("# all keys are revoked\n"), Change::kTaken);
  EXPECT_FALSE(LetsIn(keys_, "old"));
  EXPECT_TRUE(absl::IsUnauthenticated(keys_.Check("")));
}

// At whatever byte the writing of the new file stops, no half key lets anybody in.
TEST_F(ChangedKeysTest, AFileThatIsCut_NeverLetsAHalfKeyIn) {
  for (const std::string end : {"\n", ""}) {
    const std::string whole = "team alpha-0123456789\nbeta-0123456789" + end;
    for (size_t size = 0; size < whole.size(); ++size) {
      KeyRing keys(folder_.WriteText("keys", whole));
      ASSERT_TRUE(keys.Load().ok());
      Write(whole.substr(0, size));
      keys.Look();
      keys.Look();
      EXPECT_FALSE(LetsIn(keys, "team"));
      for (size_t part = 1; part < std::string("alpha-0123456789").size(); ++part)
        EXPECT_FALSE(LetsIn(keys, std::string("alpha-0123456789").substr(0, part))) << size;
      for (size_t part = 1; part < std::string("beta-0123456789").size(); ++part)
        EXPECT_FALSE(LetsIn(keys, std::string("beta-0123456789").substr(0, part))) << size;
    }
  }
}

TEST_F(ChangedKeysTest, AKeyThatIsNew_IsNotTakenHalf_WhereLinesHaveEnds) {
  Start("old\n");
  EXPECT_EQ(After("old\nbrand-ne"), Change::kRefused);
  EXPECT_FALSE(LetsIn(keys_, "brand-ne"));
  EXPECT_EQ(After("old\nbrand-new\n"), Change::kTaken);
  EXPECT_TRUE(LetsIn(keys_, "brand-new"));
}

}  // namespace
}  // namespace longspan
