// Each case runs in a child of its own (EXPECT_EXIT), because it changes the process.
#include "core/runtime/process_start.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <thread>

namespace longspan {
namespace {

using ::testing::ExitedWithCode;

TEST(ProcessStartTest, ClosedStandardStreams_AreOccupiedAndCannotBeUsed) {
  EXPECT_EXIT(
      {
        for (int descriptor = 0; descriptor <= 2; ++descriptor) close(descriptor);
        OccupyStandardStreams();
        char byte = 0;
        const bool fails = read(0, &byte, 1) < 0 && errno == EBADF && write(1, "x", 1) < 0 &&
                           write(2, "x", 1) < 0 && errno == EBADF;
        _exit(fails && open("/", O_RDONLY) > 2 ? 0 : 1);
      },
      ExitedWithCode(0), "");
}

TEST(ProcessStartTest, OpenStandardStreams_StayAsTheyAre) {
  EXPECT_EXIT(
      {
        struct stat before = {};
        struct stat after = {};
        fstat(1, &before);
        close(0);
        OccupyStandardStreams();
        fstat(1, &after);
        _exit(before.st_ino == after.st_ino && before.st_dev == after.st_dev ? 0 : 1);
      },
      ExitedWithCode(0), "");
}

TEST(ProcessStartTest, ThreadsGetTheirStack_WhateverTheLimitWas) {
  EXPECT_EXIT(
      {
        pthread_attr_t small;
        pthread_getattr_default_np(&small);
        pthread_attr_setstacksize(&small, 64 << 10);  // as glibc sets it at ulimit -s 64
        pthread_setattr_default_np(&small);
        PrepareProcess();
        std::thread([] {
          volatile char room[4 << 20];  // overflows a small stack
          for (size_t i = 0; i < sizeof room; i += 1024) room[i] = 1;
        }).join();
        _exit(0);
      },
      ExitedWithCode(0), "");
}

TEST(ProcessStartTest, AFileAtItsLargestSize_IsAnErrorOfTheWrite) {
  EXPECT_EXIT(
      {
        std::FILE* const file = std::tmpfile();
        const rlimit none{};
        setrlimit(RLIMIT_FSIZE, &none);
        PrepareProcess();
        _exit(write(fileno(file), "x", 1) < 0 && errno == EFBIG ? 0 : 1);
      },
      ExitedWithCode(0), "");
}

TEST(ProcessStartTest, FlushStandardOutput_TellsOfAFullDisk) {
  EXPECT_EXIT(
      {
        if (std::freopen("/dev/full", "w", stdout) == nullptr) _exit(2);
        std::fputs("text", stdout);
        const std::string why = FlushStandardOutput();
        // Nothing is left to write, but what was lost stays lost.
        const std::string again = FlushStandardOutput();
        std::fprintf(stderr, "%s|%s", why.c_str(), again.c_str());
        _exit(0);
      },
      ExitedWithCode(0), "standard output cannot be written: No space left.*cannot be written");
  EXPECT_EQ(FlushStandardOutput(), "");
}

}  // namespace
}  // namespace longspan
