// A file that changes under its mapping: no signal, and no change goes unnoticed.
#include "core/weights/mapped_file.h"

#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "core/weights/safetensors_reader.h"
#include "core/weights/weight_map.h"
#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr size_t kBytes = 1 << 20;

class MappedFileTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_;  // first: the members below use it
  std::string path_ = folder_.WriteText("file", std::string(kBytes, 'x'));
  std::unique_ptr<MappedFile> file_ = *MappedFile::Open(path_);

  std::string Change() const { return std::string(file_->CheckUnchanged().message()); }
  size_t CountOf(char wanted) const {
    return static_cast<size_t>(
        std::count(file_->bytes().begin(), file_->bytes().end(), std::byte(wanted)));
  }
};

TEST_F(MappedFileTest, GivesTheBytes) {
  EXPECT_EQ(CountOf('x'), kBytes);
  EXPECT_TRUE(file_->CheckUnchanged().ok());
}

TEST_F(MappedFileTest, ACutFile_ReadsAsZerosAndIsNamed) {
  fs::resize_file(path_, 10);
  EXPECT_LE(CountOf('x'), 4096u);  // of the last page that is left; the others are gone
  EXPECT_THAT(Change(), HasSubstr(path_ + ": had 1048576 bytes when it was opened and has 10 now"));
}

TEST_F(MappedFileTest, AFileCutAndGrownAgain_IsNoticed) {
  fs::resize_file(path_, 0);
  EXPECT_EQ(CountOf('x'), 0u);
  fs::resize_file(path_, kBytes);
  EXPECT_THAT(Change(), HasSubstr(path_));
}

TEST_F(MappedFileTest, AFileWrittenInPlace_IsNoticed) {
  usleep(20'000);  // more than the grain of the file system's times
  std::fstream(path_, std::ios::in | std::ios::out | std::ios::binary).put('y');
  EXPECT_THAT(Change(), HasSubstr("was written to while it was read"));
}

TEST_F(MappedFileTest, AFileReplacedUnderItsName_StaysTheOneThatWasOpened) {
  std::ofstream(path_ + ".new") << std::string(kBytes, 'z');
  fs::rename(path_ + ".new", path_);
  EXPECT_EQ(CountOf('x'), kBytes);
  EXPECT_TRUE(file_->CheckUnchanged().ok());
}

TEST_F(MappedFileTest, AnotherMappingThatIsCut_StillEndsTheProcess) {
  EXPECT_EXIT(
      {
        std::FILE* const other = std::tmpfile();
        if (ftruncate(fileno(other), 8192) != 0) _exit(2);
        auto* const bytes = static_cast<volatile char*>(
            mmap(nullptr, 8192, PROT_READ, MAP_SHARED, fileno(other), 0));
        if (ftruncate(fileno(other), 0) != 0) _exit(2);
        _exit(bytes[4096]);
      },
      ::testing::KilledBySignal(SIGBUS), "");
}

TEST_F(MappedFileTest, TheCutFileOfAModel_IsRefusedByTheMap) {
  const std::vector<std::byte> data(kBytes);
  const std::string model = path_ + ".safetensors";
  ASSERT_TRUE(
      WriteSafetensors(model, {{"w", {StoredType::kF32, {int64_t{kBytes} / 4}, data}}}).ok());
  auto weights = WeightMap::Open({model}, {});
  ASSERT_TRUE(weights.ok()) << weights.status();
  fs::resize_file(model, 4096);
  EXPECT_TRUE(weights->Take("w", {-1}).defined());
  EXPECT_THAT(std::string(weights->Finish().message()), HasSubstr(model + ": had "));
}

}  // namespace
}  // namespace longspan
