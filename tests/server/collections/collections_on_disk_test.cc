// What a folder of collections holds after a start, and what happens to files that cannot be used.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "server/collections/collections.h"
#include "tests/server/collections/collections_fixture.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class CollectionsOnDiskTest : public CollectionsTest {};
INSTANTIATE_TEST_SUITE_P(OnDisk, CollectionsOnDiskTest, testing::Values(true));

TEST_P(CollectionsOnDiskTest, WhatIsKept_IsThereAfterAStart) {
  ASSERT_TRUE(Put("c", {{"a", 1}, {"b", 2}}).ok());
  ASSERT_TRUE(Put("c", {{"b", 3}}, absl::FromUnixSeconds(1010)).ok());
  ASSERT_TRUE(collections_->Put("a/b@c", "d", kSettings, Texts({{"", 4}}), std::nullopt).ok());
  const Collections::Totals before = collections_->totals();
  Reopen();
  EXPECT_THAT(lines_, IsEmpty());
  EXPECT_EQ(Kept("c"), (Numbers{{"a", 1}, {"b", 3}}));
  EXPECT_EQ(Kept("d", "a/b@c"), (Numbers{{"", 4}}));
  EXPECT_EQ(collections_->totals().bytes, before.bytes);
  EXPECT_EQ(collections_->totals().on_disk_bytes, before.on_disk_bytes);
  EXPECT_GT(before.on_disk_bytes, before.bytes);
  seconds_ = 1010;
  EXPECT_EQ(Kept("c"), (Numbers{{"a", 1}}));
  ASSERT_TRUE(*collections_->Drop("", "c"));
  EXPECT_FALSE(std::filesystem::exists(PathOf("c")));
  Reopen();
  EXPECT_EQ(collections_->Find("", "c").status().code(), absl::StatusCode::kNotFound);
}

TEST_P(CollectionsOnDiskTest, FoldersAreReadableByTheirOwnerAlone) {
  ASSERT_TRUE(Put("c", {{"a", 1}}).ok());
  for (const std::string& path : {options_.directory, options_.directory + "/owner-"}) {
    struct stat found = {};
    ASSERT_EQ(stat(path.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0700u) << path;
  }
}

TEST_P(CollectionsOnDiskTest, ASecondServer_IsRefused) {
  const auto second = Collections::Open(options_, &lines_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr(options_.directory + ": is in use by another process"));
}

TEST_P(CollectionsOnDiskTest, ADamagedFile_IsToldToItsCallers_OthersAreServed) {
  ASSERT_TRUE(Put("bad", {{"a", 1}}).ok());
  ASSERT_TRUE(Put("bad", {{"b", 1}}).ok());
  ASSERT_TRUE(Put("good", {{"a", 2}}).ok());
  collections_.reset();
  {
    std::fstream file(PathOf("bad"), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(300);
    file.put('!');
  }
  Reopen();
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_THAT(lines_[0], HasSubstr(PathOf("bad") + ": offset "));
  EXPECT_EQ(Kept("good"), (Numbers{{"a", 2}}));
  EXPECT_EQ(collections_->Find("", "bad").status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Put("bad", {{"c", 1}}).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(collections_->Delete("", "bad", std::vector<std::string>{"a"}).status().code(),
            absl::StatusCode::kDataLoss);
  const std::vector<CollectionInfo> list = collections_->List("");
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].status.code(), absl::StatusCode::kDataLoss);
  EXPECT_GT(list[0].on_disk_bytes, 0);
  EXPECT_EQ(collections_->totals().unusable, 1);
  EXPECT_TRUE(*collections_->Drop("", "bad"));
  EXPECT_TRUE(Put("bad", {{"c", 1}}).ok());
  EXPECT_EQ(Kept("bad"), (Numbers{{"c", 1}}));
}

TEST_P(CollectionsOnDiskTest, AFileOfAnotherModel_StaysForThatModel) {
  ASSERT_TRUE(Put("c", {{"a", 1}}).ok());
  options_.model_fingerprint = "model 2";
  Reopen();
  const absl::Status status = collections_->Find("", "c").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("'model 1'"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("'model 2'"));
  EXPECT_THAT(lines_, ElementsAre(std::string(status.message())));
  EXPECT_FALSE(Put("c", {{"b", 1}}).ok());
  options_.model_fingerprint = "model 1";
  Reopen();
  EXPECT_EQ(Kept("c"), (Numbers{{"a", 1}}));
}

TEST_P(CollectionsOnDiskTest, LeftOverFiles_AreRemoved_AndOthersLeftAlone) {
  ASSERT_TRUE(Put("c", {{"a", 1}}).ok());
  collections_.reset();
  const std::string folder = options_.directory + "/owner-/";
  for (const char* name : {"c.longspan.tmp", "notes.txt", "x.tmp"})
    std::ofstream(folder + name) << "x";
  std::filesystem::create_directory(options_.directory + "/owner-_41");
  Reopen();
  EXPECT_FALSE(std::filesystem::exists(folder + "c.longspan.tmp"));
  EXPECT_TRUE(std::filesystem::exists(folder + "notes.txt"));
  EXPECT_TRUE(std::filesystem::exists(folder + "x.tmp"));
  EXPECT_THAT(lines_,
              ElementsAre(HasSubstr("c.longspan.tmp: removed"), HasSubstr("notes.txt: left alone"),
                          HasSubstr("x.tmp: left alone"), HasSubstr("owner-_41: left alone")));
  EXPECT_EQ(Kept("c"), (Numbers{{"a", 1}}));
}

TEST_P(CollectionsOnDiskTest, AFileThatIsMostlyDeleted_IsWrittenAnew) {
  options_.least_waste = 10'000;
  Reopen();
  std::vector<PutText> texts = Texts({{"a", 1}, {"b", 2}, {"c", 3}}, 400);
  ASSERT_TRUE(collections_->Put("", "c", kSettings, texts, std::nullopt).ok());
  ASSERT_TRUE(Put("c", {{"d", 4}}, absl::FromUnixSeconds(1010)).ok());
  ASSERT_TRUE(Put("c", {{"e", 5}}, absl::FromUnixSeconds(1020)).ok());
  EXPECT_THAT(collections_->Maintain(), IsEmpty());
  ASSERT_TRUE(collections_->Delete("", "c", std::vector<std::string>{"a", "c"}).ok());
  seconds_ = 1010;
  const Collections::Totals before = collections_->totals();
  EXPECT_THAT(collections_->Maintain(),
              ElementsAre(HasSubstr(PathOf("c") + ": compacted from " +
                                    std::to_string(before.on_disk_bytes))));
  const Collections::Totals after = collections_->totals();
  EXPECT_LT(after.on_disk_bytes, before.on_disk_bytes / 2);
  EXPECT_EQ(after.on_disk_bytes, static_cast<int64_t>(std::filesystem::file_size(PathOf("c"))));
  EXPECT_EQ(after.documents, 2);
  EXPECT_EQ(Kept("c"), (Numbers{{"b", 2}, {"e", 5}}));
  EXPECT_THAT(collections_->Maintain(), IsEmpty()) << "once";
  ASSERT_TRUE(Put("c", {{"f", 6}}).ok());
  Reopen();
  EXPECT_EQ(Kept("c"), (Numbers{{"b", 2}, {"e", 5}, {"f", 6}}));
  EXPECT_EQ(collections_->totals().bytes, collections_->List("")[0].bytes);
  seconds_ = 1020;
  EXPECT_EQ(Kept("c"), (Numbers{{"b", 2}, {"f", 6}})) << "with its expiry";
}

TEST_P(CollectionsOnDiskTest, AFullDisk_RefusesTheBatch_AndKeepsTheRest) {
  ASSERT_TRUE(Put("c", {{"a", 1}}).ok());
  const auto try_in_child = [&] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit = {20'000, 20'000};
    setrlimit(RLIMIT_FSIZE, &limit);
    const auto large = Texts({{"a", 2}, {"b", 2}}, 1000);
    const auto refused = collections_->Put("", "c", kSettings, large, std::nullopt);
    const auto unmade = collections_->Put("", "new", kSettings, large, std::nullopt);
    const bool as_it_should =
        absl::IsResourceExhausted(refused.status()) && absl::IsResourceExhausted(unmade.status()) &&
        Kept("c") == Numbers{{"a", 1}} &&
        absl::IsNotFound(collections_->Find("", "new").status()) && Put("c", {{"b", 3}}).ok() &&
        !std::filesystem::exists(PathOf("new")) &&
        collections_->totals().bytes == collections_->List("")[0].bytes;
    std::_Exit(as_it_should ? 0 : 1);
  };
  EXPECT_EXIT(try_in_child(), testing::ExitedWithCode(0), "");
  Reopen();
  EXPECT_EQ(Kept("c"), (Numbers{{"a", 1}, {"b", 3}}));
}

}  // namespace
}  // namespace longspan
