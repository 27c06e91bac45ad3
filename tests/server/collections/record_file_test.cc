// What a collection's file holds after ends at any byte, damage to any byte, and disks that fail.
#include "server/collections/record_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/refused_system_call.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using testing::HasSubstr;

const FileHeader kHeader = {.model_fingerprint = "a-model 0123abcd",
                            .width = 8,
                            .format = TokenFormat::kTwoBit,
                            .cell_tokens = 32,
                            .language = "english"};

RecordFile::Text Bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
std::string StringOf(RecordFile::Text text) {
  return {reinterpret_cast<const char*>(text.data()), text.size()};
}

// Texts and expiries by id.
using State = std::map<std::string, std::pair<std::string, absl::Time>>;

State StateOf(const RecordFile::Opened& opened) {
  State state;
  for (const RecordFile::Document& document : opened.documents)
    state[document.id] = {StringOf(document.text), document.expires};
  return state;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return (std::ostringstream() << file.rdbuf()).str();
}

// Ends the process where it does not hold; for children.
void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "not so: %s\n", what);
  std::_Exit(1);
}

class RecordFileTest : public testing::Test {
 protected:
  std::unique_ptr<RecordFile> Create(const std::vector<RecordFile::Put>& puts) {
    auto created = RecordFile::Create(path_, kHeader, puts);
    EXPECT_TRUE(created.ok()) << created.status();
    return std::move(created->file);
  }
  RecordFile::Opened Open() {
    auto opened = RecordFile::Open(path_);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return *std::move(opened);
  }
  // Three batches: what is there after each of them, and where it ends.
  void WriteThreeBatches() {
    std::unique_ptr<RecordFile> file =
        Create({{"a", Bytes(first_)}, {"b", Bytes(second_), later_}});
    states_.push_back({{"a", {first_, absl::InfiniteFuture()}}, {"b", {second_, later_}}});
    ends_.push_back(file->num_bytes());
    const std::vector<RecordFile::Put> puts = {{"a", Bytes(third_)}, {"c", Bytes(first_)}};
    EXPECT_TRUE(file->Append({.puts = puts}).ok());
    states_.push_back(states_.back());
    states_.back()["a"] = {third_, absl::InfiniteFuture()};
    states_.back()["c"] = {first_, absl::InfiniteFuture()};
    ends_.push_back(file->num_bytes());
    const std::vector<std::string> deletes = {"b"};
    const std::vector<RecordFile::Put> last = {{"", Bytes(second_)}};
    EXPECT_TRUE(file->Append({.puts = last, .deletes = deletes}).ok());
    states_.push_back(states_.back());
    states_.back().erase("b");
    states_.back()[""] = {second_, absl::InfiniteFuture()};
    ends_.push_back(file->num_bytes());
  }
  void WriteFile(const std::string& bytes) { folder_.WriteText("one.longspan", bytes); }
  // The number of batches that end within so many bytes.
  size_t BatchesWithin(size_t bytes) const {
    return std::count_if(ends_.begin(), ends_.end(), [&](uint64_t end) { return end <= bytes; });
  }

  const std::string first_ = "The lease ends in May.";
  const std::string second_ = std::string(130, 'x');
  const std::string third_ = std::string(64, '\0');
  const absl::Time later_ = absl::FromUnixNanos(1'900'000'000'123'456'789);
  const TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/one.longspan";
  std::vector<State> states_;
  std::vector<uint64_t> ends_;
};

TEST_F(RecordFileTest, HoldsWhatWasPut_AfterItIsOpenedAgain) {
  WriteThreeBatches();
  const auto header = RecordFile::ReadHeader(path_);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(*header, kHeader);
  const RecordFile::Opened opened = Open();
  EXPECT_EQ(StateOf(opened), states_.back());
  EXPECT_EQ(opened.file->header(), kHeader);
  EXPECT_EQ(opened.file->num_bytes(), std::filesystem::file_size(path_));
  EXPECT_EQ(opened.note, "");
  for (const RecordFile::Document& document : opened.documents)
    EXPECT_EQ(reinterpret_cast<uintptr_t>(document.text.data()) % kRecordAlignment, 0u);
}

TEST_F(RecordFileTest, IsReadableByItsOwnerAlone_AndLeavesNoOtherFile) {
  Create({});
  struct stat found = {};
  ASSERT_EQ(stat(path_.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
  EXPECT_TRUE(Open().documents.empty());
}

TEST_F(RecordFileTest, EndsAtAnyByte_HoldsTheWholeBatchesBeforeIt) {
  WriteThreeBatches();
  const std::string whole = ReadFile(path_);
  for (size_t bytes = 0; bytes <= whole.size(); ++bytes) {
    SCOPED_TRACE(bytes);
    WriteFile(whole.substr(0, bytes));
    auto opened = RecordFile::Open(path_);
    const size_t batches = BatchesWithin(bytes);
    if (batches == 0) {
      // A file is made whole, so this is no torn end.
      ASSERT_EQ(opened.status().code(), absl::StatusCode::kDataLoss) << opened.status();
      ASSERT_EQ(std::filesystem::file_size(path_), bytes) << "is left as it is";
      continue;
    }
    ASSERT_TRUE(opened.ok()) << opened.status();
    ASSERT_EQ(StateOf(*opened), states_[batches - 1]);
    const bool is_torn = bytes != ends_[batches - 1];
    ASSERT_EQ(!opened->note.empty(), is_torn) << opened->note;
    if (is_torn) {
      ASSERT_THAT(opened->note, HasSubstr("one.longspan: the last "));
    }
    ASSERT_EQ(std::filesystem::file_size(path_), ends_[batches - 1]);
    if (bytes % 16 != 1) continue;
    const std::vector<RecordFile::Put> puts = {{"new", Bytes(second_)}};
    ASSERT_TRUE(opened->file->Append({.puts = puts}).ok());
    opened->file.reset();
    State expected = states_[batches - 1];
    expected["new"] = {second_, absl::InfiniteFuture()};
    ASSERT_EQ(StateOf(Open()), expected);
  }
}

TEST_F(RecordFileTest, WithAnyByteDamaged_GivesNoWrongText) {
  WriteThreeBatches();
  const std::string whole = ReadFile(path_);
  const uint64_t last_commit = ends_.back() - sizeof(RecordHeader);
  for (size_t at = 0; at < whole.size(); ++at) {
    SCOPED_TRACE(at);
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << at % 8));
    WriteFile(damaged);
    const auto opened = RecordFile::Open(path_);
    if (at < last_commit) {
      // Versions are told apart before the checksum is looked at.
      const bool is_version = at >= 8 && at < 12;
      ASSERT_EQ(opened.status().code(),
                is_version ? absl::StatusCode::kFailedPrecondition : absl::StatusCode::kDataLoss)
          << opened.status();
      ASSERT_THAT(std::string(opened.status().message()), HasSubstr(path_ + ": "));
      if (!is_version) {
        ASSERT_THAT(std::string(opened.status().message()), HasSubstr("expected"));
      }
      ASSERT_EQ(ReadFile(path_), damaged) << "is left as it is";
      continue;
    }
    // A commit that cannot be read is none: the end looks torn.
    ASSERT_TRUE(opened.ok()) << opened.status();
    ASSERT_EQ(StateOf(*opened), states_[1]);
    ASSERT_NE(opened->note, "");
  }
}

TEST_F(RecordFileTest, TornBehindATextThatLooksLikeRecords_IsTornAndNotDamaged) {
  WriteThreeBatches();
  const std::string whole = ReadFile(path_);
  std::string text = whole;
  {
    const RecordFile::Opened opened = Open();
    const std::vector<RecordFile::Put> puts = {{"copy", Bytes(text)}};
    ASSERT_TRUE(opened.file->Append({.puts = puts}).ok());
  }
  const std::string longer = ReadFile(path_);
  WriteFile(longer.substr(0, longer.size() - 2 * sizeof(RecordHeader)));
  EXPECT_EQ(StateOf(Open()), states_.back());
}

TEST_F(RecordFileTest, ACommitOfMoreRecordsThanThereAre_EndsNoBatch) {
  WriteThreeBatches();
  std::string bytes = ReadFile(path_);
  const auto file_header = DecodeFileHeader(bytes.substr(0, kMaxFileHeaderBytes));
  ASSERT_TRUE(file_header.ok()) << file_header.status();
  char* const last = bytes.data() + bytes.size() - sizeof(RecordHeader);
  RecordHeader commit;
  std::memcpy(&commit, last, sizeof commit);
  ASSERT_EQ(commit.kind, RecordKind::kCommit);
  ++commit.batch_records;
  commit.crc = HeaderCrc(commit, file_header->nonce);
  std::memcpy(last, &commit, sizeof commit);
  WriteFile(bytes);
  const RecordFile::Opened opened = Open();
  EXPECT_EQ(StateOf(opened), states_[1]);
  EXPECT_THAT(opened.note, HasSubstr("a batch of 3 records was expected, 2 are there"));
}

TEST_F(RecordFileTest, TextsStayWhereTheyAre_WhileTheFileGrows) {
  auto created =
      RecordFile::Create(path_, kHeader, std::vector<RecordFile::Put>{{"0", Bytes(first_)}});
  ASSERT_TRUE(created.ok()) << created.status();
  std::vector<RecordFile::Text> texts = created->texts;
  const std::string large(700'000, 'y');
  for (int i = 1; i <= 12; ++i) {
    const std::string id = std::to_string(i);
    const auto appended =
        created->file->Append({.puts = std::vector<RecordFile::Put>{{id, Bytes(large)}}});
    ASSERT_TRUE(appended.ok()) << appended.status();
    texts.push_back(appended->front());
  }
  EXPECT_EQ(StringOf(texts[0]), first_);
  for (size_t i = 1; i < texts.size(); ++i) EXPECT_TRUE(StringOf(texts[i]) == large) << i;
}

TEST_F(RecordFileTest, AWriterAtWork_KeepsOthersOut) {
  const std::unique_ptr<RecordFile> file = Create({{"a", Bytes(first_)}});
  const OpenFile writer(open(path_.c_str(), O_RDWR));
  ASSERT_TRUE(Lock(writer.get()).ok());
  for (const absl::Status& status :
       {RecordFile::Open(path_).status(), file->Append({}).status(), file->Rewrite({}).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("in use by another process"));
  }
  const auto again = RecordFile::Create(path_, kHeader, {});
  EXPECT_EQ(again.status().code(), absl::StatusCode::kFailedPrecondition) << again.status();
}

TEST_F(RecordFileTest, WhatSomebodyElseWrote_IsKept_AndNothingIsWrittenBehindIt) {
  const std::vector<RecordFile::Put> ours = {{"ours", Bytes(second_)}};
  const std::vector<RecordFile::Put> theirs = {{"theirs", Bytes(third_)}};
  const std::unique_ptr<RecordFile> file = Create({{"a", Bytes(first_)}});
  ASSERT_TRUE(Open().file->Append({.puts = theirs}).ok());
  for (const absl::Status& status :
       {file->Append({.puts = ours}).status(), file->Rewrite(ours).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("somebody else wrote there"));
  }
  EXPECT_EQ(Open().documents.size(), 2u);
  // Another file of the same length under the name.
  const RecordFile::Opened opened = Open();
  const std::string bytes = ReadFile(path_);
  WriteFile("");
  std::filesystem::rename(path_, path_ + ".away");
  WriteFile(bytes);
  EXPECT_EQ(opened.file->Append({.puts = ours}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(ReadFile(path_), bytes);
}

TEST_F(RecordFileTest, HoldsNoDescriptor) {
  const auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  const auto before = open_files();
  const std::unique_ptr<RecordFile> created = Create({{"a", Bytes(first_)}});
  ASSERT_TRUE(created->Append({.puts = std::vector<RecordFile::Put>{{"b", Bytes(second_)}}}).ok());
  const auto rewritten = created->Rewrite(std::vector<RecordFile::Put>{{"c", Bytes(third_)}});
  ASSERT_TRUE(rewritten.ok()) << rewritten.status();
  const RecordFile::Opened opened = Open();
  EXPECT_EQ(open_files(), before);
  EXPECT_EQ(StringOf(opened.documents[0].text), third_);
}

TEST_F(RecordFileTest, Rewritten_HoldsThePutsAlone_AndTheOldFileIsReadOn) {
  WriteThreeBatches();
  RecordFile::Opened opened = Open();
  std::vector<RecordFile::Put> puts;
  for (const RecordFile::Document& document : opened.documents)
    puts.push_back({document.id, document.text, document.expires});
  puts.erase(puts.begin());
  auto rewritten = opened.file->Rewrite(puts);
  ASSERT_TRUE(rewritten.ok()) << rewritten.status();
  EXPECT_LT(rewritten->file->num_bytes(), opened.file->num_bytes());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
  EXPECT_FALSE(opened.file->Append({.puts = puts}).ok()) << "would be lost";
  ASSERT_TRUE(
      rewritten->file->Append({.puts = std::vector<RecordFile::Put>{{"d", Bytes(third_)}}}).ok());
  for (size_t i = 0; i < puts.size(); ++i)
    EXPECT_EQ(StringOf(rewritten->texts[i]), StringOf(puts[i].text)) << "in both files";
  State expected;
  for (const RecordFile::Put& put : puts)
    expected[std::string(put.id)] = {StringOf(put.text), put.expires};
  expected["d"] = {third_, absl::InfiniteFuture()};
  rewritten->file.reset();
  opened.file.reset();
  EXPECT_EQ(StateOf(Open()), expected);
}

TEST_F(RecordFileTest, ADiskThatIsFull_RefusesTheBatch_AndTheNextIsWritten) {
  WriteThreeBatches();
  const auto in_child = [&] {
    signal(SIGXFSZ, SIG_IGN);
    const RecordFile::Opened opened = Open();
    const rlimit limit = {ends_.back() + 5000, ends_.back() + 5000};
    setrlimit(RLIMIT_FSIZE, &limit);
    const std::string large(6000, 'z');
    const std::vector<RecordFile::Put> puts = {{"d", Bytes(first_)}, {"e", Bytes(large)}};
    const auto refused = opened.file->Append({.puts = puts});
    Require(absl::IsResourceExhausted(refused.status()), "the code is RESOURCE_EXHAUSTED");
    Require(refused.status().message().find("File too large") != std::string::npos,
            "the message says why");
    Require(std::filesystem::file_size(path_) == ends_.back(), "the file is cut back");
    const std::string all(limit.rlim_cur, 'y');
    const std::vector<RecordFile::Put> larger = {{"f", Bytes(all)}};
    const auto rewritten = opened.file->Rewrite(larger);
    Require(absl::IsResourceExhausted(rewritten.status()), "nor is a new file written");
    Require(opened.file->Append({.puts = std::span(puts).first(1)}).ok(), "a small one fits");
    std::_Exit(0);
  };
  EXPECT_EXIT(in_child(), testing::ExitedWithCode(0), "");
  State expected = states_.back();
  expected["d"] = {first_, absl::InfiniteFuture()};
  EXPECT_EQ(StateOf(Open()), expected);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_.path()), {}), 1);
}

TEST_F(RecordFileTest, ADiskThatFails_IsNotWrittenToAgain_AndReadOn) {
  WriteThreeBatches();
  const auto in_child = [&] {
    const RecordFile::Opened opened = Open();
    Require(RefuseSystemCalls({SYS_fdatasync}, EIO), "the filter is in force");
    const std::vector<RecordFile::Put> puts = {{"d", Bytes(first_)}};
    const auto refused = opened.file->Append({.puts = puts});
    Require(absl::IsInternal(refused.status()), "the code is INTERNAL");
    const auto again = opened.file->Append({.puts = puts});
    Require(absl::IsFailedPrecondition(again.status()), "the next is refused at once");
    Require(absl::IsFailedPrecondition(opened.file->Rewrite(puts).status()), "so is a new file");
    Require(StateOf(opened) == states_.back(), "the texts are read on");
    std::_Exit(0);
  };
  EXPECT_EXIT(in_child(), testing::ExitedWithCode(0), "");
  EXPECT_EQ(StateOf(Open()), states_.back());
}

TEST_F(RecordFileTest, AFileThatCannotBeCutBack_IsNotWrittenToAgain) {
  WriteThreeBatches();
  const auto in_child = [&] {
    signal(SIGXFSZ, SIG_IGN);
    const RecordFile::Opened opened = Open();
    const rlimit limit = {ends_.back() + 300, ends_.back() + 300};
    setrlimit(RLIMIT_FSIZE, &limit);
    Require(RefuseSystemCalls({SYS_ftruncate}, EIO), "the filter is in force");
    const std::string large(6000, 'z');
    const std::vector<RecordFile::Put> puts = {{"d", Bytes(large)}};
    Require(!opened.file->Append({.puts = puts}).ok(), "the batch is refused");
    const auto again = opened.file->Append({.puts = {}});
    Require(absl::IsFailedPrecondition(again.status()), "the next is refused at once");
    Require(again.status().message().find("until the server starts anew") != std::string::npos,
            "the message says how long");
    std::_Exit(0);
  };
  EXPECT_EXIT(in_child(), testing::ExitedWithCode(0), "");
  const RecordFile::Opened opened = Open();
  EXPECT_EQ(StateOf(opened), states_.back());
  EXPECT_NE(opened.note, "") << "the rest of the batch is cut now";
}

TEST_F(RecordFileTest, WhatIsNoFileOfACollection_IsNotOpened) {
  EXPECT_FALSE(RecordFile::Open(path_).ok()) << "is not there";
  WriteFile(std::string(1000, 'x'));
  EXPECT_EQ(RecordFile::Open(path_).status().code(), absl::StatusCode::kDataLoss);
  std::filesystem::remove(path_);
  std::filesystem::create_directory(path_);
  EXPECT_FALSE(RecordFile::Open(path_).ok());
  EXPECT_FALSE(RecordFile::ReadHeader(path_).ok());
}

TEST_F(RecordFileTest, AHeaderThatIsTooLong_IsRefused) {
  FileHeader header = kHeader;
  header.model_fingerprint = std::string(kMaxFingerprintBytes, 'm');
  header.language = std::string(kMaxLanguageBytes, 'l');
  EXPECT_TRUE(RecordFile::Create(path_, header, {}).ok());
  EXPECT_EQ(*RecordFile::ReadHeader(path_), header);
  header.language.push_back('l');
  EXPECT_EQ(RecordFile::Create(path_ + "2", header, {}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace longspan
