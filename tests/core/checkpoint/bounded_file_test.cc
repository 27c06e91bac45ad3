// A name that is there and cannot be read is refused with the reason; it never counts as absent.
#include "core/checkpoint/bounded_file.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/temporary_folder.h"

namespace longspan {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class BoundedFileTest : public ::testing::Test {
 protected:
  // The refusal of both functions.
  std::string Refusal(const std::string& path) {
    const absl::Status has = HasFile(path).status(), read = ReadBoundedFile(path, 100).status();
    EXPECT_EQ(has.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(has, read);
    return std::string(read.message());
  }
  TemporaryFolder folder_;
  std::string path_ = folder_.path() + "/file";
};

TEST_F(BoundedFileTest, ReadsAFile_AlsoThroughALink) {
  folder_.WriteText("blobs/1", "text");
  fs::create_symlink("blobs/1", path_);
  EXPECT_EQ(HasFile(path_).value(), true);
  EXPECT_EQ(ReadBoundedFile(path_, 100).value(), "text");
}

TEST_F(BoundedFileTest, NoSuchName) {
  EXPECT_EQ(HasFile(path_).value(), false);
  EXPECT_TRUE(absl::IsNotFound(ReadBoundedFile(path_, 100).status()));
}

TEST_F(BoundedFileTest, ALinkToNothing_NamesWhatIsMissing) {
  fs::create_symlink("../blobs/123", path_);
  EXPECT_THAT(Refusal(path_), HasSubstr("is a link to ../blobs/123, which does not exist"));
}

TEST_F(BoundedFileTest, ALinkToItself) {
  fs::create_symlink("file", path_);
  EXPECT_THAT(Refusal(path_), HasSubstr("cannot be read: Too many levels of symbolic links"));
}

TEST_F(BoundedFileTest, APipeADeviceAndAFolder) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  fs::create_symlink("/dev/zero", path_ + "zero");
  for (const std::string& path : {path_, path_ + "zero", folder_.path()})
    EXPECT_THAT(Refusal(path), HasSubstr(path + ": is not a regular file"));
}

TEST_F(BoundedFileTest, ANameThatIsTooLong) {
  EXPECT_THAT(Refusal(folder_.path() + "/" + std::string(300, 'w')),
              HasSubstr("cannot be read: File name too long"));
}

TEST_F(BoundedFileTest, APointerOfGitLfs) {
  folder_.WriteText("file", "version https://git-lfs.github.com/spec/v1\noid sha256:53aa\n");
  EXPECT_THAT(std::string(ReadBoundedFile(path_, 100).status().message()),
              HasSubstr("is a pointer of Git LFS"));
}

}  // namespace
}  // namespace longspan
