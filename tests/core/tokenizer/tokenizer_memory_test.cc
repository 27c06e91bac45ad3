// The memory that a long text takes beside its tokens does not grow with the text: it is tokenised
// in parts (core/tokenizer/text_chunks.h), or refused.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "core/tokenizer/tokenizer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sanitizers/kept_memory.h"

namespace longspan {
namespace {

std::string Folder(const std::string& name) {
  return std::string(LONGSPAN_FIXTURES) + "/tokenizers/" + name;
}

int64_t PeakMiB() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

// In one piece each of the two texts takes about 600 MiB. In parts, both together stay below half
// of that, and most of it are the tokens themselves, with 37 bytes each.
TEST(TokenizerMemoryTest, LongTextsSideBySideTakeLittleBesideTheirTokens) {
  const auto tokenizer = Tokenizer::Load(Folder("roberta"));
  ASSERT_TRUE(tokenizer.ok());
  std::string text;
  while (text.size() < (4u << 20))
    text +=
        "This Agreement shall be governed by the laws of the State in which the party resides. ";
  const int64_t before = PeakMiB();
  std::atomic<int64_t> tokens = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i)
    threads.emplace_back(
        [&] { tokens += static_cast<int64_t>((*tokenizer)->Encode(text)->ids.size()); });
  for (std::thread& thread : threads) thread.join();
  const int64_t tokens_mib = tokens * 37 / (1 << 20);
  EXPECT_LT(PeakMiB() - before, tokens_mib * 5 / 4 + 128 + kKeptMiB) << tokens << " tokens";
}

// What a child process takes at most to read the text part by part, in MiB. The peak of this
// process holds what came before.
int64_t PeakOfTokenizing(const std::string& fixture, const std::string& text) {
  int pipe_ends[2];
  EXPECT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto tokenizer = Tokenizer::Load(Folder(fixture));
    const int64_t before = PeakMiB();
    int64_t tokens = 0;
    const absl::Status status =
        (*tokenizer)->EncodeByParts(text, true, [&](const Tokenization& part) {
          tokens += static_cast<int64_t>(part.ids.size());
          return absl::OkStatus();
        });
    const int64_t mib = status.ok() && tokens > 0 ? PeakMiB() - before : -1;
    _exit(write(pipe_ends[1], &mib, sizeof(mib)) == sizeof(mib) ? 0 : 1);
  }
  int64_t mib = -1;
  EXPECT_EQ(read(pipe_ends[0], &mib, sizeof(mib)), static_cast<ssize_t>(sizeof(mib)));
  waitpid(child, nullptr, 0);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
  return mib;
}

std::string Repeated(const std::string& unit, size_t bytes) {
  std::string text;
  while (text.size() + unit.size() <= bytes) text += unit;
  return text;
}

// In one piece 8 MiB of them take 3,850, 1,480 and 990 MiB. In parts none takes more than a text of
// 64 KiB may (600 bytes for each byte), whatever its length: what is left of a text behind its last
// cut is a part as well.
TEST(TokenizerMemoryTest, PunctuationIdeographsAndOtherScriptsAreReadInParts) {
  for (const char* unit : {".!?,;:", "好", "мир война "}) {
    for (const size_t bytes : {size_t{500} << 10, size_t{8} << 20}) {
      const int64_t mib = PeakOfTokenizing("bert-uncased", Repeated(unit, bytes));
      EXPECT_GE(mib, 0) << unit << " " << bytes;
      EXPECT_LT(mib, 64 + kKeptMiB) << unit << " " << bytes;
    }
  }
}

TEST(TokenizerMemoryTest, ATextWithoutPlacesIsRefused_AndCostsNothing) {
  const auto tokenizer = Tokenizer::Load(Folder("roberta"));
  ASSERT_TRUE(tokenizer.ok());
  const std::string text = Repeated("x", 8 << 20);
  const int64_t before = PeakMiB();
  const absl::Status refused = (*tokenizer)->Encode(text).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()),
              testing::HasSubstr("has 8388608 bytes from byte 0 on without a place"));
  EXPECT_EQ((*tokenizer)->EncodeByParts(text, true, [](const auto&) { return absl::OkStatus(); }),
            refused);
  EXPECT_LT(PeakMiB() - before, 16);
  EXPECT_TRUE((*tokenizer)->Encode(Repeated("x", 1 << 20)).ok());
}

}  // namespace
}  // namespace longspan
