// What is kept for whom, for how long and up to which bound, in memory and on the disk.
#include "server/collections/collections.h"

#include <gmock/gmock.h>

#include <atomic>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/error_details.h"
#include "server/collections/collection_name.h"
#include "tests/server/collections/collections_fixture.h"

namespace longspan {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

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

TEST_P(CollectionsTest, CheckRoom_SaysBeforehandWhatPutWouldSay) {
  const int64_t document = BytesOfDocument(Texts({{"a", 1}})[0]);
  options_.max_bytes = 3 * document;
  options_.max_bytes_of_owner = 2 * document;
  options_.max_collections = 2;
  Reopen();
  const auto reason = [&](const std::string& owner, const std::string& name,
                          const std::vector<std::string>& ids, int64_t bytes) {
    const absl::Status status = collections_->CheckRoom(owner, name, ids, bytes);
    if (status.ok()) return std::string("room");
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
    return ReasonOf(status).value_or("none");
  };
  EXPECT_EQ(reason("", "c", {"a"}, 2 * document), "room");
  EXPECT_EQ(reason("", "c", {"a"}, 2 * document + 1), kReasonMaxCollectionBytesPerKey);
  ASSERT_TRUE(Put("c", {{"a", 1}}, absl::FromUnixSeconds(1010)).ok());
  ASSERT_TRUE(Put("c", {{"b", 1}}).ok());
  EXPECT_EQ(reason("", "c", {"n"}, 1), kReasonMaxCollectionBytesPerKey);
  EXPECT_EQ(reason("", "c", {"a"}, document), "room") << "in the place of another";
  EXPECT_EQ(reason("", "d", {"a"}, document), kReasonMaxCollectionBytesPerKey)
      << "an id of another collection makes no room";
  EXPECT_EQ(reason("x", "c", {"a"}, document + 1), kReasonMaxCollectionBytes);
  EXPECT_EQ(reason("x", "c", {"a"}, document), "room");
  EXPECT_THAT(std::string(collections_->CheckRoom("x", "c", {}, document + 1).message()),
              HasSubstr(absl::StrCat("at least ", document + 1, " more")));
  seconds_ = 1010;
  EXPECT_EQ(reason("", "c", {"n"}, document), "room") << "what has expired makes room";
  ASSERT_TRUE(Put("d", {}).ok());
  EXPECT_EQ(reason("", "e", {"n"}, 1), kReasonMaxCollections);
  EXPECT_EQ(reason("", "d", {"n"}, 1), "room");
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
  std::vector<PutText> wrong = Texts({{"a", 1}});
  wrong[0].bytes.pop_back();
  EXPECT_FALSE(collections_->Put("", "wrong", kSettings, wrong, std::nullopt).ok());
  ASSERT_TRUE(Put("a", {{"a", 1}}).ok()) << "what was refused is none";
  ASSERT_TRUE(Put("b", {{"a", 1}}).ok());
  const auto third = Put("c", {{"a", 1}});
  EXPECT_EQ(third.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(third.status()), kReasonMaxCollections);
  EXPECT_TRUE(Put("b", {{"b", 1}}).ok());
  EXPECT_TRUE(collections_->Put("x", "c", kSettings, Texts({{"a", 1}}), std::nullopt).ok());
  ASSERT_TRUE(*collections_->Drop("", "a"));
  EXPECT_TRUE(Put("c", {{"a", 1}}).ok());
}

TEST_P(CollectionsTest, TooManyCollectionsOfAllOwners_AreRefused) {
  options_.max_collections = 2;
  options_.max_collections_together = 3;
  Reopen();
  const auto put = [&](const std::string& owner, const std::string& name) {
    return collections_->Put(owner, name, kSettings, Texts({{"a", 1}}), std::nullopt).status();
  };
  ASSERT_TRUE(put("x", "a").ok());
  ASSERT_TRUE(put("x", "b").ok());
  ASSERT_TRUE(put("y", "a").ok());
  for (const std::string owner : {"y", "z"}) {
    const absl::Status fourth = put(owner, "b");
    EXPECT_EQ(ReasonOf(fourth), kReasonMaxCollections) << owner;
    EXPECT_THAT(std::string(fourth.message()), HasSubstr("3 collections of all keys; allowed: 3"));
    EXPECT_EQ(ReasonOf(collections_->CheckRoom(owner, "b", {}, 1)), kReasonMaxCollections) << owner;
  }
  ASSERT_TRUE(*collections_->Drop("x", "a"));
  EXPECT_TRUE(put("z", "b").ok());
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
