#include "server/telemetry/line_writer.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace longspan {
namespace {

using ::testing::ElementsAre;

constexpr absl::Duration kLong = absl::Seconds(30);

std::string Lost(int64_t lines) { return absl::StrCat("lost ", lines); }

// A small pipe: two pages.
struct Pipe {
  Pipe() {
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    fcntl(ends[1], F_SETPIPE_SZ, 8192);
    std::signal(SIGPIPE, SIG_IGN);
  }
  ~Pipe() {
    CloseReader();
    close(ends[1]);
  }
  void CloseReader() {
    if (ends[0] >= 0) close(ends[0]);
    ends[0] = -1;
  }
  // Reads until a line of this text has come; returns all lines.
  std::vector<std::string> ReadUntil(const std::string& last) const {
    std::string text;
    char buffer[4096];
    while (text.find(last + "\n") == std::string::npos) {
      const ssize_t count = read(ends[0], buffer, sizeof(buffer));
      if (count <= 0) break;
      text.append(buffer, static_cast<size_t>(count));
    }
    return absl::StrSplit(text, '\n', absl::SkipEmpty());
  }
  int ends[2] = {-1, -1};
};

TEST(LineWriterTest, LinesComeInOrder) {
  Pipe pipe;
  LineWriter writer(pipe.ends[1], /*owned=*/false, Lost);
  writer.Write("one");
  writer.Write("two");
  EXPECT_TRUE(writer.Flush(kLong));
  EXPECT_THAT(pipe.ReadUntil("two"), ElementsAre("one", "two"));
  EXPECT_EQ(writer.num_lost(), 0);
}

TEST(LineWriterTest, WhereNobodyReads_NoCallerWaits_AndTheLossIsToldOnceItFlowsAgain) {
  Pipe pipe;
  LineWriter writer(pipe.ends[1], /*owned=*/false, Lost, {.lines = 4, .bytes = 1 << 20});
  // Far more than the pipe, the line on its way and the queue hold.
  for (int i = 0; i < 100; ++i) writer.Write(absl::StrCat(std::string(3000, 'x'), i));
  EXPECT_FALSE(writer.Flush(absl::Milliseconds(20)));
  EXPECT_GT(writer.num_lost(), 80);
  writer.Write("last");
  const std::vector<std::string> lines = pipe.ReadUntil("last");
  EXPECT_TRUE(writer.Flush(kLong));
  // Every line is there, or is among those that are told to be lost, at the place of the gap.
  int64_t told = 0, texts = 0;
  for (const std::string& line : lines) {
    if (line.starts_with("lost ")) {
      told += std::stoll(line.substr(5));
    } else {
      ++texts;
    }
  }
  EXPECT_EQ(told, writer.num_lost());
  EXPECT_EQ(texts + told, 101);
  EXPECT_EQ(lines.back(), "last");
}

TEST(LineWriterTest, BytesThatWaitAreBounded_ButALongLineIsTaken) {
  Pipe pipe;
  LineWriter writer(pipe.ends[1], /*owned=*/false, Lost, {.lines = 1000, .bytes = 10'000});
  for (int i = 0; i < 100; ++i) writer.Write(std::string(3000, 'x'));
  EXPECT_GE(writer.num_lost(), 90);
  writer.Write(std::string(50'000, 'y'));
  writer.Write("end");
  EXPECT_EQ(pipe.ReadUntil("end").back(), "end");
}

TEST(LineWriterTest, WhereTheReaderIsGone_LinesAreLostAndCounted) {
  Pipe pipe;
  LineWriter writer(pipe.ends[1], /*owned=*/false, Lost);
  pipe.CloseReader();
  for (int i = 0; i < 10; ++i) writer.Write("line");
  EXPECT_TRUE(writer.Flush(kLong));
  EXPECT_EQ(writer.num_lost(), 10);
}

TEST(LineWriterTest, AFullDisk_LosesAndCounts) {
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  if (full < 0) GTEST_SKIP() << "no /dev/full here";
  LineWriter writer(full, /*owned=*/true, Lost);
  writer.Write("line");
  EXPECT_TRUE(writer.Flush(kLong));
  EXPECT_EQ(writer.num_lost(), 1);
}

TEST(LineWriterTest, ItsEndDoesNotWaitForAReader) {
  Pipe pipe;
  const absl::Time start = absl::Now();
  {
    LineWriter writer(pipe.ends[1], /*owned=*/false, Lost);
    for (int i = 0; i < 100; ++i) writer.Write(std::string(1000, 'x'));
  }
  EXPECT_LT(absl::Now() - start, kLong);
}

TEST(WriteWithinTest, EndsWhereNobodyReads) {
  Pipe pipe;
  EXPECT_TRUE(WriteWithin(pipe.ends[1], "line\n", kLong));
  EXPECT_FALSE(WriteWithin(pipe.ends[1], std::string(1 << 20, 'x'), absl::Milliseconds(100)));
}

}  // namespace
}  // namespace longspan
