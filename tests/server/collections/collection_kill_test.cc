// A process that keeps documents is killed at random moments: what it acknowledged is there, and
// nothing is half there.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "server/collections/collections.h"
#include "tests/server/collections/kept_text_samples.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

constexpr int kRounds = 20;
constexpr int kDocuments = 5;
constexpr int64_t kRows = 40;
const CollectionSettings kSettings = {.cell_tokens = kSampleCellTokens, .language = "english"};

std::vector<std::string> Ids() {
  std::vector<std::string> ids;
  for (int i = 0; i < kDocuments; ++i) ids.push_back("id" + std::to_string(i));
  return ids;
}

std::unique_ptr<Collections> Open(const std::string& folder) {
  std::vector<std::string> lines;
  auto collections = Collections::Open({.directory = folder,
                                        .max_bytes = int64_t{1} << 30,
                                        .model_fingerprint = "model",
                                        .width = kSampleWidth,
                                        .now = [] { return absl::UnixEpoch(); },
                                        .least_waste = 40'000},
                                       &lines);
  EXPECT_TRUE(collections.ok()) << collections.status();
  return collections.ok() ? *std::move(collections) : nullptr;
}

// Every seventh batch deletes all documents, the others replace them by those of their number.
bool Deletes(int64_t batch) { return batch % 7 == 0; }

absl::Status Write(Collections& collections, int64_t batch) {
  if (Deletes(batch)) return collections.Delete("owner", "c", Ids()).status();
  std::vector<PutText> texts;
  for (const std::string& id : Ids()) texts.push_back({id, PackedSample(batch, kRows)});
  return collections.Put("owner", "c", kSettings, texts, std::nullopt).status();
}

// The child: writes batches and acknowledges each in the pipe, until it is killed.
[[noreturn]] void WriteOn(const std::string& folder, int64_t batch, int acknowledged) {
  const std::unique_ptr<Collections> collections = Open(folder);
  while (collections != nullptr && Write(*collections, batch).ok() &&
         write(acknowledged, &batch, sizeof batch) == sizeof batch) {
    if (++batch % 3 == 0) collections->Maintain();
  }
  _exit(1);
}

// The batch whose documents are there; 0 = none are there, -1 = those of several.
int64_t BatchThatIsThere(const std::string& folder) {
  const std::unique_ptr<Collections> collections = Open(folder);
  if (collections == nullptr) return -1;
  const auto found = collections->Find("owner", "c");
  if (absl::IsNotFound(found.status())) return 0;
  EXPECT_TRUE(found.ok()) << found.status();
  if (!found.ok()) return -1;
  const Collection::Reading reading = (*found)->Read();
  if (reading.index().num_texts() == 0) return 0;
  EXPECT_EQ(reading.index().num_texts(), kDocuments);
  int64_t batch = 0;
  for (const std::optional<KeptText>& text : reading.index().texts()) {
    if (!text.has_value()) continue;
    const int64_t number = NumberOf(*text);
    if (!IsSample(*text, number) || (batch != 0 && number != batch)) return -1;
    batch = number;
  }
  return batch;
}

TEST(CollectionKillTest, WhatWasAcknowledgedIsThere_AndNoBatchIsHalfThere) {
  const TemporaryFolder folder;
  std::random_device device;
  const uint32_t seed = device();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  int64_t last = 0;  // that is known to be there
  for (int round = 0; round < kRounds; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      WriteOn(folder.path(), last + 1, ends[1]);
    }
    close(ends[1]);
    int64_t acknowledged = last;
    for (auto left = static_cast<int>(random() % 12); left > 0; --left)
      ASSERT_EQ(read(ends[0], &acknowledged, sizeof acknowledged), 8)
          << "the child ended by itself";
    // A moment of the next batch: some milliseconds.
    timespec pause = {0, static_cast<long>(random() % 4'000'000)};
    nanosleep(&pause, nullptr);
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
    while (read(ends[0], &acknowledged, sizeof acknowledged) == 8) {
    }
    close(ends[0]);
    const int64_t there = BatchThatIsThere(folder.path());
    const auto shown = [](int64_t batch) { return Deletes(batch) ? 0 : batch; };
    ASSERT_THAT(there, testing::AnyOf(shown(acknowledged), shown(acknowledged + 1)))
        << "round " << round << ", acknowledged: " << acknowledged;
    last = there == shown(acknowledged) ? acknowledged : acknowledged + 1;
  }
  EXPECT_GT(last, kRounds) << "it had time to write";
}

}  // namespace
}  // namespace longspan
