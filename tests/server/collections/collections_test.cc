// What is kept for whom, for how long and up to which bound, in memory and on the disk.
#include "server/collections/collections.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/error_details.h"
#include "server/collections/collection_name.h"
#include "tests/server/collections/kept_text_samples.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const CollectionSettings kSettings = {
    .format = TokenFormat::kInt8, .cell_tokens = kSampleCellTokens, .language = "english"};

std::vector<PutText> Texts(const std::map<std::string, int64_t>& numbers, int64_t rows = 6) {
  std::vector<PutText> texts;
  for (const auto& [id, number] : numbers) texts.push_back({id, PackedSample(number, rows)});
  return texts;
}

// In memory, and in a folder.
class CollectionsTest : public testing::TestWithParam<bool> {
 protected:
  CollectionsTest() {
    options_ = {.directory = GetParam() ? folder_.path() + "/kept" : "",
                .max_bytes = int64_t{1} << 30,
                .model_fingerprint = "model 1",
                .width = kSampleWidth,
                .now = [this] { return absl::FromUnixSeconds(seconds_); }};
    Reopen();
  }
  // As a server does that starts anew.
  void Reopen() {
    collections_.reset();
    lines_.clear();
    auto opened = Collections::Open(options_, &lines_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    collections_ = *std::move(opened);
  }
  absl::StatusOr<PutCounts> Put(const std::string& name,
                                const std::map<std::string, int64_t>& numbers,
                                std::optional<absl::Time> expires = std::nullopt) {
    return collections_->Put("", name, kSettings, Texts(numbers), expires);
  }
  // The numbers of the texts by id, as a search finds them.
  std::map<std::string, int64_t> Kept(const std::string& name, const std::string& owner = "") {
    const auto found = collections_->Find(owner, name);
    if (!found.ok()) return {{std::string(found.status().message()), -1}};
    std::map<std::string, int64_t> kept;
    const Collection::Reading reading = (*found)->Read();
    for (uint32_t slot = 0; slot < reading.index().texts().size(); ++slot) {
      const std::optional<KeptText>& text = reading.index().texts()[slot];
      if (!text.has_value()) continue;
      EXPECT_TRUE(IsSample(*text, NumberOf(*text)));
      kept[std::string(reading.id_of(slot))] = NumberOf(*text);
    }
    EXPECT_EQ(reading.index().num_texts(), static_cast<int64_t>(kept.size()));
    return kept;
  }
  std::string PathOf(const std::string& name) const {
    return options_.directory + "/owner-/" + name + ".longspan";
  }

  using Numbers = std::map<std::string, int64_t>;
  const TemporaryFolder folder_;
  std::atomic<int64_t> seconds_ = 1000;
  CollectionsOptions options_;
  std::vector<std::string> lines_;
  std::unique_ptr<Collections> collections_;
};
INSTANTIATE_TEST_SUITE_P(InMemoryAndOnDisk, CollectionsTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Disk" : "Memory"; });

TEST_P(CollectionsTest, Put_AddsAndReplacesById) {
  auto counts = Put("c", {{"a", 1}, {"b", 2}});
  ASSERT_TRUE(counts.ok()) << counts.status();
  EXPECT_EQ(counts->added, 2);
  EXPECT_EQ(counts->replaced, 0);
  EXPECT_EQ(counts->documents, 2);
  counts = Put("c", {{"b", 3}, {"c", 4}});
  ASSERT_TRUE(counts.ok()) << counts.status();
  EXPECT_EQ(counts->added, 1);
  EXPECT_EQ(counts->replaced, 1);
  EXPECT_EQ(counts->documents, 3);
  EXPECT_EQ(counts->tokens, 18);
  int64_t bytes = 0;
  for (const PutText& text : Texts({{"a", 1}, {"b", 3}, {"c", 4}})) bytes += BytesOfDocument(text);
  EXPECT_EQ(counts->bytes, bytes);
  EXPECT_EQ(Kept("c"), (Numbers{{"a", 1}, {"b", 3}, {"c", 4}}));
  const std::vector<CollectionInfo> list = collections_->List("");
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].name, "c");
  EXPECT_EQ(list[0].documents, 3);
  EXPECT_EQ(list[0].tokens, 18);
  EXPECT_EQ(list[0].bytes, bytes);
  EXPECT_EQ(list[0].settings.cell_tokens, kSampleCellTokens);
  EXPECT_EQ(list[0].settings.language, "english");
  EXPECT_TRUE(list[0].status.ok());
}

TEST_P(CollectionsTest, Delete_RemovesTheDocumentsThatAreThere) {
  ASSERT_TRUE(Put("c", {{"a", 1}, {"b", 2}}).ok());
  const auto deleted = collections_->Delete("", "c", std::vector<std::string>{"b", "b", "x"});
  ASSERT_TRUE(deleted.ok()) << deleted.status();
  EXPECT_EQ(*deleted, 1);
  EXPECT_EQ(Kept("c"), (Numbers{{"a", 1}}));
  EXPECT_EQ(*collections_->Delete("", "c", std::vector<std::string>{"a"}), 1);
  EXPECT_EQ(collections_->totals().bytes, 0);
  EXPECT_EQ(collections_->List("").size(), 1u) << "an empty one stays";
  const auto none = collections_->Delete("", "d", std::vector<std::string>{"a"});
  EXPECT_EQ(none.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("'d'"));
}

TEST_P(CollectionsTest, Drop_ForgetsTheCollection_AndASearchUnderWayEnds) {
  ASSERT_TRUE(Put("c", {{"a", 1}}).ok());
  const auto found = collections_->Find("", "c");
  ASSERT_TRUE(found.ok());
  std::optional<Collection::Reading> reading = (*found)->Read();
  std::thread dropper([&] {
    const auto dropped = collections_->Drop("", "c");
    EXPECT_TRUE(dropped.ok() && *dropped) << dropped.status();
  });
  EXPECT_TRUE(IsSample(*reading->index().texts()[0], 1));
  reading.reset();
  dropper.join();
  EXPECT_EQ(collections_->Find("", "c").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ((*found)->Read().index().num_texts(), 0);
  EXPECT_FALSE(*collections_->Drop("", "c"));
  EXPECT_THAT(collections_->List(""), IsEmpty());
  EXPECT_EQ(collections_->totals().bytes, 0);
  // The name is free for other settings.
  EXPECT_TRUE(collections_
                  ->Put("", "c", {.cell_tokens = kSampleCellTokens, .language = "german"},
                        Texts({{"a", 2}}), std::nullopt)
                  .ok());
  EXPECT_EQ(Kept("c"), (Numbers{{"a", 2}}));
}

TEST_P(CollectionsTest, OwnersSeeTheirOwn) {
  ASSERT_TRUE(collections_->Put("x", "c", kSettings, Texts({{"a", 1}}), std::nullopt).ok());
  ASSERT_TRUE(collections_->Put("y", "c", kSettings, Texts({{"a", 2}}), std::nullopt).ok());
  EXPECT_EQ(Kept("c", "x"), (Numbers{{"a", 1}}));
  EXPECT_EQ(Kept("c", "y"), (Numbers{{"a", 2}}));
  EXPECT_THAT(collections_->List(""), IsEmpty());
  EXPECT_FALSE(*collections_->Drop("", "c"));
  EXPECT_TRUE(*collections_->Drop("x", "c"));
  EXPECT_EQ(Kept("c", "y"), (Numbers{{"a", 2}}));
}

TEST_P(CollectionsTest, OtherSettings_AreRefused_NamingBoth) {
  ASSERT_TRUE(Put("c", {{"a", 1}}).ok());
  const std::vector<PutText> texts = {{"b", PackedSample(2, 6, TokenFormat::kTwoBit)}};
  const auto other = collections_->Put(
      "", "c",
      {.format = TokenFormat::kTwoBit, .cell_tokens = kSampleCellTokens, .language = "german"},
      texts, std::nullopt);
  EXPECT_EQ(other.status().code(), absl::StatusCode::kFailedPrecondition);
  for (const char* part : {"int8", "2 bits", "english", "german"})
    EXPECT_THAT(std::string(other.status().message()), HasSubstr(part));
  EXPECT_EQ(Kept("c"), (Numbers{{"a", 1}}));
}

TEST_P(CollectionsTest, ABatchWithAFault_ChangesNothing) {
  ASSERT_TRUE(Put("c", {{"a", 1}}).ok());
  std::vector<PutText> texts = Texts({{"a", 2}, {"b", 3}});
  texts[1].bytes.resize(texts[1].bytes.size() / 2);
  EXPECT_EQ(collections_->Put("", "c", kSettings, texts, std::nullopt).status().code(),
            absl::StatusCode::kInternal);
  texts = Texts({{"a", 2}, {"b", 3}});
  texts[1].id = "a";
  const auto twice = collections_->Put("", "c", kSettings, texts, std::nullopt);
  EXPECT_EQ(twice.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Kept("c"), (Numbers{{"a", 1}}));
  EXPECT_FALSE(collections_->Put("", "new", kSettings, texts, std::nullopt).ok());
  EXPECT_EQ(collections_->Find("", "new").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(collections_->List("").size(), 1u);
}

TEST_P(CollectionsTest, BeyondTheBound_ABatchIsRefused_WithWhatIsKeptWantedAndAllowed) {
  const int64_t document = BytesOfDocument(Texts({{"a", 1}})[0]);
  options_.max_bytes = 3 * document;
  options_.max_bytes_of_owner = 2 * document;
  Reopen();
  ASSERT_TRUE(Put("c", {{"a", 1}, {"b", 1}}).ok());
  const auto third = Put("d", {{"a", 1}});
  EXPECT_EQ(third.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(third.status()), kReasonMaxCollectionBytesPerKey);
  EXPECT_EQ(collections_->Find("", "d").status().code(), absl::StatusCode::kNotFound);
  ASSERT_TRUE(collections_->Put("x", "c", kSettings, Texts({{"a", 1}}), std::nullopt).ok());
  const auto fourth = collections_->Put("x", "c", kSettings, Texts({{"b", 1}}), std::nullopt);
  EXPECT_EQ(fourth.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(fourth.status()), kReasonMaxCollectionBytes);
  for (const std::string& part :
       {std::to_string(3 * document) + " bytes", std::to_string(document) + " more",
        "allowed: " + std::to_string(3 * document), std::string("raise --max-collection-bytes)")})
    EXPECT_THAT(std::string(fourth.status().message()), HasSubstr(part));
  EXPECT_TRUE(Put("c", {{"a", 5}}).ok()) << "takes the place of as many bytes";
  ASSERT_TRUE(collections_->Delete("", "c", std::vector<std::string>{"b"}).ok());
  EXPECT_TRUE(Put("d", {{"a", 1}}).ok());
  EXPECT_EQ(collections_->totals().bytes, 3 * document);
}

TEST_P(CollectionsTest, WhatHasExpired_GivesWayToWhatIsPut) {
  const int64_t document = BytesOfDocument(Texts({{"a", 1}})[0]);
  options_.max_bytes = document;
  Reopen();
  ASSERT_TRUE(Put("c", {{"a", 1}}, absl::FromUnixSeconds(1010)).ok());
  EXPECT_FALSE(Put("d", {{"a", 1}}).ok());
  seconds_ = 1010;
  EXPECT_TRUE(Put("d", {{"a", 1}}).ok());
}

TEST_P(CollectionsTest, TooManyCollections_AreRefused) {
  options_.max_collections = 2;
  Reopen();
  ASSERT_TRUE(Put("a", {{"a", 1}}).ok());
  ASSERT_TRUE(Put("b", {{"a", 1}}).ok());
  const auto third = Put("c", {{"a", 1}});
  EXPECT_EQ(third.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(third.status()), kReasonMaxCollections);
  EXPECT_TRUE(Put("b", {{"b", 1}}).ok());
  EXPECT_TRUE(collections_->Put("x", "c", kSettings, Texts({{"a", 1}}), std::nullopt).ok());
  ASSERT_TRUE(*collections_->Drop("", "a"));
  EXPECT_TRUE(Put("c", {{"a", 1}}).ok());
}

TEST_P(CollectionsTest, AnExpiredDocument_IsNeverFound) {
  ASSERT_TRUE(Put("c", {{"a", 1}, {"b", 2}}, absl::FromUnixSeconds(1010)).ok());
  ASSERT_TRUE(Put("c", {{"b", 3}}, absl::FromUnixSeconds(1020)).ok());
  ASSERT_TRUE(Put("c", {{"c", 4}}).ok());
  seconds_ = 1009;
  EXPECT_EQ(Kept("c"), (Numbers{{"a", 1}, {"b", 3}, {"c", 4}}));
  seconds_ = 1010;
  EXPECT_EQ(Kept("c"), (Numbers{{"b", 3}, {"c", 4}}));
  seconds_ = 1020;
  if (GetParam()) {
    Reopen();
    EXPECT_EQ(collections_->totals().documents, 1) << "nor is it read from the disk";
  }
  EXPECT_EQ(*collections_->Delete("", "c", std::vector<std::string>{"b"}), 0);
  EXPECT_EQ(Kept("c"), (Numbers{{"c", 4}}));
}

TEST_P(CollectionsTest, Maintain_RemovesWhatHasExpired_AndLeavesTheCollection) {
  ASSERT_TRUE(Put("c", {{"a", 1}}, absl::FromUnixSeconds(1010)).ok());
  seconds_ = 1011;
  EXPECT_THAT(collections_->Maintain(), IsEmpty()) << "too little to write the file anew";
  EXPECT_EQ(collections_->totals().documents, 0);
  EXPECT_EQ(collections_->totals().bytes, 0);
  EXPECT_EQ(collections_->totals().collections, 1);
}

TEST_P(CollectionsTest, NamesThatAreNone_AreRefused) {
  for (const std::string name : {"", ".", ".a", "a/b", "a b", "\xC3\xA4"}) {
    const auto put = Put(name, {{"a", 1}});
    EXPECT_EQ(put.status().code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_EQ(FieldOf(put.status()), "collection");
    EXPECT_EQ(collections_->Find("", name).status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(collections_->Drop("", name).status().code(), absl::StatusCode::kInvalidArgument);
  }
  const std::string longest(kMaxCollectionNameBytes, 'n');
  EXPECT_TRUE(Put(longest, {{"a", 1}}).ok());
  EXPECT_FALSE(Put(longest + "n", {{"a", 1}}).ok());
}

TEST_P(CollectionsTest, ReadersAndWriters_SeeWholeTexts) {
  options_.least_waste = 2000;
  Reopen();
  ASSERT_TRUE(Put("c", {{"a", 0}, {"b", 0}}).ok());
  std::atomic<bool> done = false;
  std::vector<std::thread> threads;
  for (int reader = 0; reader < 2; ++reader) {
    threads.emplace_back([&] {
      while (!done) {
        const auto found = collections_->Find("", "c");
        if (!found.ok()) continue;  // dropped
        const Collection::Reading reading = (*found)->Read();
        std::map<std::string, int64_t> numbers;
        const auto texts = reading.index().texts();
        for (uint32_t slot = 0; slot < texts.size(); ++slot) {
          if (!texts[slot].has_value()) continue;
          const int64_t number = NumberOf(*texts[slot]);
          EXPECT_TRUE(IsSample(*texts[slot], number));
          numbers[std::string(reading.id_of(slot))] = number;
        }
        if (numbers.contains("a") && numbers.contains("b")) {
          EXPECT_EQ(numbers["a"], numbers["b"]) << "a batch is seen whole";
        }
      }
    });
  }
  threads.emplace_back([&] {
    while (!done) {
      seconds_ = seconds_ + 1;
      collections_->Maintain();
      collections_->totals();
    }
  });
  threads.emplace_back([&] {
    for (int64_t i = 0; i < 60; ++i) {
      const std::string id = "other" + std::to_string(i % 3);
      EXPECT_TRUE(Put("c", {{id, i}}, absl::FromUnixSeconds(seconds_ + i % 5)).ok());
      if (i % 20 == 19) {
        const auto dropped = collections_->Drop("", "c");
        EXPECT_TRUE(dropped.ok()) << dropped.status();
      }
    }
  });
  for (int64_t i = 1; i <= 80; ++i) {
    const auto put = Put("c", {{"a", i}, {"b", i}});
    EXPECT_TRUE(put.ok()) << put.status();
    if (i % 7 == 0) {
      const auto deleted = collections_->Delete("", "c", std::vector<std::string>{"a", "b"});
      EXPECT_TRUE(deleted.ok() || absl::IsNotFound(deleted.status())) << deleted.status();
    }
  }
  threads.back().join();
  threads.pop_back();
  done = true;
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(Put("c", {{"a", 7}, {"b", 7}}).ok());
  seconds_ = seconds_ + 10;
  EXPECT_EQ(Kept("c"), (Numbers{{"a", 7}, {"b", 7}}));
  int64_t bytes = 0;
  for (const PutText& text : Texts({{"a", 7}, {"b", 7}})) bytes += BytesOfDocument(text);
  EXPECT_EQ(collections_->totals().bytes, bytes) << "no charge is lost, and none is left";
}

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

TEST(CollectionNameTest, NoOwnerNamesTheFolderOfAnother) {
  EXPECT_EQ(OwnerFolder(""), "owner-");
  EXPECT_EQ(OwnerFolder("search-team/2"), "owner-search_2dteam_2f2");
  EXPECT_EQ(OwnerFolder(".."), "owner-_2e_2e");
  for (const std::string owner : {"", "a", "a_b", "..", "a/b", "_2f", "\xFF", "A@b.c"})
    EXPECT_EQ(OwnerOfFolder(OwnerFolder(owner)), owner);
  for (const char* folder :
       {"", "owner", "owner-_", "owner-_2", "owner-_2F", "owner-_41", "owner-_zz", "x-a"})
    EXPECT_EQ(OwnerOfFolder(folder), std::nullopt) << folder;
  EXPECT_EQ(CollectionOfFile("a.b.longspan"), "a.b");
  for (const char* file : {".longspan", "a.longspan.tmp", "a", ".a.longspan"})
    EXPECT_EQ(CollectionOfFile(file), std::nullopt) << file;
}

}  // namespace
}  // namespace longspan
